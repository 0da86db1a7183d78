"""The gradient noise scale: how large a batch is worth its cost."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from landscape.estimate import Estimate
from landscape.linalg.operator import LinearOperator
from landscape.signals.intervals import over_samples, ratio_of_means
from landscape.signals.sample_gradients import SampleGradients


@dataclass(frozen=True, kw_only=True)
class NoiseScale:
    """How large the noise of the gradient is beside the gradient.

    Args:
        simple: B_simple = tr Σ / ‖g‖², with Σ the covariance of the samples' gradients.
        trace: tr Σ.
        squared_gradient: ‖g‖² without the noise that a finite sample adds to it.
        curvature: B_noise = tr(HΣ) / gᵀHg; None where no products were asked for.
        curvature_trace: tr(HΣ).
        along: gᵀHg / ‖g‖², the curvature along the gradient.
        samples: N that the gradients are of.
        groups: Of samples, behind the numbers with curvature; 0: none.
    """

    simple: Estimate
    trace: Estimate
    squared_gradient: Estimate
    curvature: Estimate | None = None
    curvature_trace: Estimate | None = None
    along: Estimate | None = None
    samples: int
    groups: int = 0

    @property
    def batch_size(self) -> Estimate:
        """Return the batch size at which noise and gradient weigh alike: B_noise, else B_simple."""
        usable = self.curvature is not None and self.curvature.value > 0
        return self.curvature if usable and self.curvature is not None else self.simple


@dataclass(frozen=True)
class _Parts:
    """Draws whose means are, without bias, b · (spread within) and the squared mean."""

    spread: np.ndarray  # (K,)
    square: np.ndarray  # (K,)


def parts_of(squares: np.ndarray, dots: np.ndarray, size: int) -> _Parts:
    """Return the linearised draws of tr Σ and ‖g‖² from K mean gradients over groups.

    With V the mean of ‖ḡₖ‖² and U that of ḡₖ·ḡₗ over k ≠ l, E U = ‖g‖² and E V = ‖g‖² + tr Σ / b;
    McCandlish's two batch sizes are b and K b. What a group adds to U, a mean over pairs, is twice
    its mean product with the others, less U (Hájek's projection).

    Args:
        squares: ‖ḡₖ‖² (K,).
        dots: ḡₖ · Σₗ ḡₗ (K,).
        size: b, the samples in a group.

    Source: McCandlish et al. 2018, arXiv 1812.06162, appendix A.1.
    """
    with_others = (dots - squares) / (len(squares) - 1)
    square = 2 * with_others - with_others.mean()
    return _Parts(spread=size * (squares - square), square=square)


def noise_scale(found: SampleGradients) -> NoiseScale:
    """Return B_simple from the gradients of at least three samples, without bias in both parts.

    The ratio of means, not the mean of ratios, with Fieller's interval.
    """
    number = len(found.squares)
    parts = parts_of(found.squares, number * found.dots, 1)
    method = f"gradients of {number:,} samples, ratio of unbiased means, Fieller's interval"
    return NoiseScale(
        simple=ratio_of_means(parts.spread, parts.square, method, samples=number),
        trace=over_samples(parts.spread, f"gradients of {number:,} samples"),
        squared_gradient=over_samples(parts.square, f"pairs of {number:,} samples' gradients"),
        samples=number,
    )


def with_curvature(
    noise: NoiseScale, operator: LinearOperator, means: Tensor, *, samples: int
) -> NoiseScale:
    """Return a noise scale with B_noise = tr(HΣ) / gᵀHg, from products with K mean gradients.

    Both come from the matrix ḡₖᵀHḡₗ as B_simple does from ḡₖᵀḡₗ.

    Args:
        noise: B_simple.
        operator: H, of the whole data.
        means: ḡₖ (K, n), over groups of samples of one size.
        samples: In all groups.

    Cost: K products.

    Source: McCandlish et al. 2018, arXiv 1812.06162, equations 2.7 and 2.9.
    """
    groups = len(means)
    rows = means.to(operator.device, operator.dtype)
    images = operator.matmat(rows.T).T
    bent, plain = (_products(rows, other) for other in (images, rows))
    size = samples // groups
    found = parts_of(np.diagonal(bent).copy(), bent.sum(1), size)
    flat = parts_of(np.diagonal(plain).copy(), plain.sum(1), size)
    method = f"{groups} Hessian products with mean gradients of {size} samples"
    ratio = ratio_of_means(found.spread, found.square, method, samples=samples)
    along = ratio_of_means(found.square, flat.square, method, samples=samples)
    return NoiseScale(
        simple=noise.simple,
        trace=noise.trace,
        squared_gradient=noise.squared_gradient,
        curvature=_of_valley(ratio, found.square),
        curvature_trace=over_samples(found.spread, method),
        along=along,
        samples=noise.samples,
        groups=groups,
    )


def _products(rows: Tensor, images: Tensor) -> np.ndarray:  # (K, K)
    return torch.stack([(images.double() @ row.double()) for row in rows]).cpu().numpy()


def _of_valley(ratio: Estimate, curved: np.ndarray) -> Estimate:
    """Return B_noise, which means nothing where the curvature along the gradient is negative."""
    if float(curved.mean()) > 0:
        return ratio
    return Estimate(
        value=math.nan,
        kind="estimate",
        interval=(math.nan, math.nan),
        samples=ratio.samples,
        method=ratio.method,
        reason="the curvature along the gradient is not positive",
    )
