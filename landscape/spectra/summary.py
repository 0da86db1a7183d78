"""A spectrum in a few numbers: ranks, effective dimension, and how much of it is negative."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from landscape.estimate import Estimate, jackknife_half_width
from landscape.linalg.density import SpectralMeasure
from landscape.linalg.trace import Diagonal

REACH = 2.0  # lengths of the standard errors within which the diagonal is taken to lie
SHARP = 1e-2  # of the largest |λ|: from there on a direction counts, unless a ridge is given


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Numbers that say how a spectrum is spread.

    Args:
        stable_rank: ‖A‖²_F / λ², with λ the eigenvalue of largest magnitude.
        effective_dimension: Σ |λ| / (|λ| + γ): directions with more curvature than γ.
        ridge: γ.
        negative_mass: Σ|λ₋| / Σ|λ|: the share of the curvature that is negative.
        negative_fraction: The share of the eigenvalues below −floor.
        floor: The noise floor, below which a sign means nothing.
        diagonal_share: Σ Aᵢᵢ² / ‖A‖²_F: 1 for a diagonal matrix.
    """

    stable_rank: Estimate
    effective_dimension: Estimate
    ridge: float
    negative_mass: Estimate
    negative_fraction: Estimate
    floor: float
    diagonal_share: Estimate


def summarise(
    measure: SpectralMeasure,
    *,
    largest: Estimate,
    frobenius_squared: Estimate,
    diagonal: Diagonal,
    ridge: float | None,
    floor: float,
) -> Summary:
    """Return the numbers, those over all eigenvalues from the quadratures of random probes.

    Args:
        measure: Quadratures of p probes.
        largest: The eigenvalue of largest magnitude.
        frobenius_squared: Σλ².
        diagonal: The entries Aᵢᵢ, from the probes of the trace.
        ridge: γ > 0, a weight decay for instance; None takes a hundredth of the largest |λ|.
        floor: The noise floor of an eigenvalue.

    Source: Roy & Vetterli 2007; MacKay 1992 and Maddox et al. 2020, arXiv 2003.02139 (effective
    dimension).
    """
    gamma = ridge or SHARP * abs(largest.value)
    return Summary(
        stable_rank=_stable_rank(frobenius_squared, largest),
        effective_dimension=_effective_dimension(measure, gamma),
        ridge=gamma,
        negative_mass=_negative_mass(measure),
        negative_fraction=_negative_fraction(measure, floor),
        floor=floor,
        diagonal_share=_diagonal_share(diagonal, frobenius_squared),
    )


def condition(top: Estimate, median: tuple[float, float], probes: int) -> Estimate:
    """Return λ_max over the median |λ|; a lower bound where that cannot be told from zero."""
    low, high = (abs(top.value) / m if m > 0 else math.inf for m in reversed(median))
    bounded = math.isfinite(high)
    return Estimate(
        value=math.sqrt(low * high) if bounded else low,
        kind="estimate" if bounded else "lower_bound",
        interval=(low, high),
        solver=(low, high),
        samples=probes,
        status=top.status,
        method="largest eigenvalue over the median |λ| of the density's simultaneous band",
    )


def _stable_rank(square: Estimate, largest: Estimate) -> Estimate:
    residual = largest.residual or 0.0
    size = abs(largest.value)
    if size <= residual or size == 0:
        return Estimate(
            value=0.0,
            kind="estimate",
            interval=(0.0, math.inf),
            method="no eigenvalue can be told from zero",
        )
    interval = (
        max(square.interval[0] / (size + residual) ** 2, 0.0),
        square.interval[1] / (size - residual) ** 2,
    )
    return Estimate(
        value=square.value / size**2,
        status=largest.status,
        kind="estimate",
        interval=interval,
        solver=interval,
        samples=square.samples,
        method="squared Frobenius norm over the largest λ²",
    )


def _diagonal_share(diagonal: Diagonal, square: Estimate) -> Estimate:
    """Return Σ Aᵢᵢ² / ‖A‖²_F; the error of all entries together is known by its length."""
    length, error = float(diagonal.mean.norm()), REACH * diagonal.error_norm
    low, high = max(length - error, 0.0) ** 2, (length + error) ** 2
    whole = square.interval
    if square.value <= 0 or not math.isfinite(error):
        return Estimate(value=0.0, kind="estimate", interval=(0.0, 1.0), method="no curvature")
    interval = (min(low / whole[1], 1.0), min(high / max(whole[0], 1e-300), 1.0))
    value = min(max(diagonal.norm_squared / square.value, interval[0]), interval[1])
    return Estimate(
        value=value,
        kind="estimate",
        interval=interval,
        solver=interval,
        samples=square.samples,
        method="Hutchinson's diagonal, less what its own errors add",
    )


def _effective_dimension(measure: SpectralMeasure, ridge: float) -> Estimate:
    if ridge <= 0:
        return Estimate.exact(0.0, "no curvature")

    def share(nodes: np.ndarray) -> np.ndarray:
        return np.abs(nodes) / (np.abs(nodes) + ridge)

    draws = measure.size * _means(measure, share)
    found = Estimate.mean(draws, method="stochastic Lanczos quadrature")
    interval = (max(found.interval[0], 0.0), min(found.interval[1], float(measure.size)))
    if not measure.status.settled:
        interval = (0.0, float(measure.size))
    return Estimate(
        value=found.value,
        kind="estimate",
        interval=interval,
        solver=interval,
        samples=measure.probes,
        status=measure.status,
        method=f"Σ|λ|/(|λ| + {ridge:.3g}), stochastic Lanczos quadrature",
    )


def _negative_mass(measure: SpectralMeasure) -> Estimate:
    """Return the ratio with Student's interval on the jackknife over probes."""
    negative = _means(measure, lambda nodes: np.clip(-nodes, 0, None))
    absolute = _means(measure, np.abs)
    if not absolute.any():
        return Estimate.exact(0.0, "no curvature")
    whole = float(negative.sum() / absolute.sum())
    left_out = (negative.sum() - negative) / np.maximum(absolute.sum() - absolute, 1e-300)
    half = jackknife_half_width(whole, left_out)
    interval = (max(whole - half, 0.0), min(whole + half, 1.0))
    if not measure.status.settled:
        interval = (0.0, 1.0)
    return Estimate(
        value=whole,
        kind="estimate",
        interval=interval,
        solver=interval,
        samples=measure.probes,
        status=measure.status,
        method="stochastic Lanczos quadrature, jackknife over probes",
    )


def _negative_fraction(measure: SpectralMeasure, floor: float) -> Estimate:
    band = measure.distribution(np.array([-floor]))
    interval = (float(band.lower[0]), float(band.upper[0]))
    return Estimate(
        value=float(band.value[0]),
        kind="estimate",
        interval=interval,
        solver=interval,
        samples=measure.probes,
        method="the distribution's simultaneous band",
    )


def _means(
    measure: SpectralMeasure, function: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:  # (p,)
    """Return Σ f(λ) / n as each probe estimates it."""
    return np.array([np.sum(q.weights * function(q.nodes)) for q in measure.quadratures])
