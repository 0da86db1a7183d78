"""The Hessian beside the Gauss-Newton matrix, and what the network's own curvature adds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from landscape.estimate import Estimate, jackknife_half_width
from landscape.linalg.eigenpairs import Eigenpairs, eigenpairs
from landscape.linalg.operator import LinearOperator
from landscape.linalg.probes import rademacher
from landscape.spectra.ends import eigenvalues

BLOCK = 8  # probes in one pass over the data
TOLERANCE = 1e-3  # relative residual of the eigenvalues that are compared


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """H = G + R: the Hessian, the Gauss-Newton matrix, and the residual.

    Args:
        residual_share: ‖R‖_F / ‖H‖_F.
        hessian: λ_max(H).
        gauss_newton: λ_max(G).
        residual_top: λ_max(R).
        residual_bottom: λ_min(R): as G has no negative eigenvalue for convex losses, no eigenvalue
            of H lies below it.
    """

    residual_share: Estimate
    hessian: Estimate
    gauss_newton: Estimate
    residual_top: Estimate
    residual_bottom: Estimate


def compare(
    hessian: LinearOperator,
    gauss_newton: LinearOperator,
    *,
    probes: int,
    generator: torch.Generator,
    max_products: int = 1000,
) -> Comparison:
    """Return how the Hessian divides into the Gauss-Newton matrix and the residual.

    The norms come from the same random signs z, ‖R‖²_F = E‖Hz − Gz‖² and ‖H‖²_F = E‖Hz‖², so that
    the noise of their ratio largely cancels.

    Cost: 2 p products, and those of three searches for one or two eigenvalues.

    Source: Schraudolph 2002; Martens 2014, arXiv 1412.1193; Papyan 2019, arXiv 1901.08244.
    """
    residual = hessian - gauss_newton

    def ends(operator: LinearOperator, bottom: int = 0) -> Eigenpairs:
        return eigenpairs(
            operator,
            top=1,
            bottom=bottom,
            generator=generator,
            tolerance=TOLERANCE,
            max_products=max_products,
        )

    def top(found: Eigenpairs) -> Estimate:
        return eigenvalues(found.top, found)[0]

    between = ends(residual, bottom=1)
    return Comparison(
        residual_share=_share(*_squares(hessian, gauss_newton, probes, generator)),
        hessian=top(ends(hessian)),
        gauss_newton=top(ends(gauss_newton)),
        residual_top=top(between),
        residual_bottom=eigenvalues(between.bottom, between)[0],
    )


def _squares(
    hessian: LinearOperator,
    gauss_newton: LinearOperator,
    probes: int,
    generator: torch.Generator,
) -> tuple[np.ndarray, np.ndarray]:  # (p,) each
    """Return ‖Hz − Gz‖² and ‖Hz‖² for each probe."""
    like = torch.empty(0, dtype=hessian.dtype, device=hessian.device)
    parts: list[Tensor] = []
    for start in range(0, probes, BLOCK):
        count = min(BLOCK, probes - start)
        signs = rademacher(count, hessian.shape[0], like=like, generator=generator).T
        whole, positive = hessian.matmat(signs).double(), gauss_newton.matmat(signs).double()
        parts.append(torch.stack([(whole - positive).square().sum(0), whole.square().sum(0)]))
    residual, total = torch.cat(parts, dim=1).cpu().numpy()
    return residual, total


def _share(residual: np.ndarray, total: np.ndarray) -> Estimate:
    """Return √(Σ residual / Σ total) with Student's interval on the jackknife over probes."""
    if not total.any():
        return Estimate.exact(0.0, "no curvature")
    value = math.sqrt(residual.sum() / total.sum())
    rest = np.maximum(total.sum() - total, 1e-300)
    left_out = np.sqrt(np.maximum(residual.sum() - residual, 0) / rest)
    half = jackknife_half_width(value, left_out)
    interval = (max(value - half, 0.0), value + half)
    return Estimate(
        value=value,
        kind="estimate",
        interval=interval,
        solver=interval,
        samples=len(total),
        method="the same random signs through both matrices, jackknife over probes",
    )
