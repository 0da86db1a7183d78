"""Lanczos tridiagonalisation with full reorthogonalisation and float64 coefficients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import eigh_tridiagonal
from torch import Tensor

from landscape import progress
from landscape.linalg.basis import Basis, norm
from landscape.linalg.operator import LinearOperator

MEMORY_BYTES = 2 * 2**30  # bases of probes that advance together


@dataclass(frozen=True)
class Quadrature:
    """Gauss quadrature of the spectral measure of A seen from one unit start vector."""

    nodes: np.ndarray  # (s,), ascending
    weights: np.ndarray  # (s,), non-negative, sum 1
    residuals: np.ndarray  # (s,), how far each node is from being an eigenvalue


def gauss_quadratures(
    operator: LinearOperator, starts: Tensor, steps: int
) -> tuple[Quadrature, ...]:
    """Return one quadrature per start vector, exact for polynomials of degree 2·steps − 1.

    Args:
        operator: Symmetric, n × n.
        starts: Unit vectors (p, n).
        steps: Lanczos steps s; fewer are taken where the Krylov space ends.

    Cost: p·s products, in s passes when all bases fit in 2 GiB together.

    Source: Golub & Meurant 2010, §3; Ubaru, Chen & Saad 2017, arXiv 1711.00439.
    """
    steps = min(steps, operator.shape[0])
    together = max(1, MEMORY_BYTES // (steps * starts[0].nbytes))
    found: list[Quadrature] = []
    with progress.task("spectral density", len(starts) * steps) as task:
        for group in starts.split(together):
            found.extend(_group(operator, group, steps, task))
    return tuple(found)


def _group(
    operator: LinearOperator, starts: Tensor, steps: int, task: progress.Task
) -> list[Quadrature]:
    bases = [Basis(steps, start) for start in starts]
    alphas: list[list[float]] = [[] for _ in bases]
    betas: list[list[float]] = [[] for _ in bases]
    directions = list(starts)
    running = list(range(len(bases)))
    for _ in range(steps):
        for i in running:
            betas[i].append(bases[i].append(directions[i]))
        block = torch.stack([bases[i].rows[-1] for i in running], dim=1)
        images = operator.matmat(block).T
        for i, image in zip(running, images, strict=True):
            directions[i], coefficients = bases[i].orthogonalise(image)
            alphas[i].append(float(coefficients[-1]))
        task.advance(len(running))
        running = [i for i in running if _goes_on(directions[i], alphas[i], betas[i])]
        if not running:
            break
    couplings = [0.0 if base.spans else norm(v) for base, v in zip(bases, directions, strict=True)]
    return [_quadrature(*chain) for chain in zip(alphas, betas, couplings, strict=True)]


def _goes_on(direction: Tensor, alphas: list[float], betas: list[float]) -> bool:
    scale = max(max(map(abs, alphas)), max(betas[1:], default=0.0))
    return norm(direction) > 4 * torch.finfo(direction.dtype).eps * scale


def _quadrature(alphas: list[float], betas: list[float], coupling: float) -> Quadrature:
    if len(alphas) == 1:
        return Quadrature(np.array(alphas), np.ones(1), np.array([coupling]))
    nodes, vectors = eigh_tridiagonal(np.array(alphas), np.array(betas[1:]))
    return Quadrature(nodes, vectors[0] ** 2, coupling * np.abs(vectors[-1]))
