"""Simultaneous bands for the means of paired differences, and the interval of their maximum."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import ndtri, stdtrit

from landscape.estimate import Estimate
from landscape.paths.evaluation import weighted_mean

DRAWS = 20_000
LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Band:
    """Means of contrasts, and a band that holds all of them at once with the probability `level`.

    Args:
        mean: (T,).
        lower: (T,).
        upper: (T,).
        level: Of all points together.
        samples: How many samples they are means over.
    """

    mean: np.ndarray  # (T,)
    lower: np.ndarray  # (T,)
    upper: np.ndarray  # (T,)
    level: float
    samples: int

    def highest(self, *, hidden: float = 0.0, ceiling: float = math.inf, method: str) -> Estimate:
        """Return the maximum over the points with its interval.

        All means lie in the band at once, so the largest lies between the largest of its lower and
        of its upper ends.

        Args:
            hidden: How much higher the maximum may be between the points: the solver's part.
            ceiling: What no maximum can pass, such as 1 for a share.
            method: What is a maximum of what.
        """
        value = float(np.max(self.mean))
        if not math.isfinite(value):
            open_end = (float(np.max(np.nan_to_num(self.lower, nan=-math.inf))), math.inf)
            return Estimate(value=value, kind="estimate", interval=open_end, method=method)
        ends = np.minimum([np.max(self.lower), np.max(self.upper)], max(ceiling, value))
        sampling = (float(ends[0]), float(ends[1]))
        return Estimate(
            value=value,
            kind="estimate",
            interval=(sampling[0], min(sampling[1] + hidden, max(ceiling, value))),
            level=self.level,
            solver=(value, value + hidden),
            sampling=sampling,
            samples=self.samples,
            method=method,
        )


def simultaneous_band(
    contrasts: np.ndarray,
    weights: np.ndarray,
    *,
    generator: torch.Generator,
    fixed: Sequence[int] = (),
    unit: float = 0.0,
    level: float = LEVEL,
) -> Band:
    """Return the weighted means of contrasts with a sup-t band.

    With uᵢ(a) = N wᵢ (dᵢ(a) − d̄(a)) / Σw and s²(a) = Σᵢ uᵢ² / (N (N − 1)), the band is
    d̄(a) ± q s(a), where q is the quantile of max_a |Z(a)| of a normal Z with the correlations of
    the uᵢ: the multiplier bootstrap with normal multipliers, whose draws have exactly that law, so
    that they cost T numbers each and not N. Every s(a) comes from the samples too, so q is
    stretched as the quantile for T independent contrasts is by t with ν = (Σw)² / Σw² − 1 degrees
    of freedom in place of the normal.

    Where differences are counts (errors), few of them are seen and s tells too little, nothing at
    all when none is. The upper half-width is then that of the score interval of a count of things
    that weigh r, q²r/2W + √(q²s² + q⁴r²/4W²) with W = Σw, which is 3.8 r/W where none was seen
    (Poisson: 3.7); r is the most that any sample adds, and at least one unit.

    Args:
        contrasts: d (T, N).
        weights: w (N,).
        generator: Draws the normal numbers.
        fixed: Rows that are zero by definition, without doubt.
        unit: What one thing counted weighs; 0: nothing is counted, no score interval.
        level: Of all points together.

    Cost: T² N, and 20,000 T² for the draws.

    Source: Chernozhukov, Chetverikov & Kato 2013, arXiv 1212.6906 (multiplier bootstrap of maxima);
    Montiel Olea & Plagborg-Møller 2019 (sup-t); Wilson 1927 (score).
    """
    contrasts, weights = contrasts[:, weights > 0], weights[weights > 0]
    samples = len(weights)
    with np.errstate(invalid="ignore"):  # where a loss is infinite, so is the mean
        mean = weighted_mean(contrasts, weights)
        influence = samples * weights * (contrasts - mean[:, None]) / weights.sum()
        covariance = influence @ influence.T / max(samples * (samples - 1), 1)
    effective = weights.sum() ** 2 / np.square(weights).sum() if samples else 0.0
    q = _sup_quantile(covariance, max(effective - 1, 1.0), level, generator)
    error = np.sqrt(np.diagonal(covariance))
    largest = max(unit, float(np.abs(contrasts * weights).max())) if unit else 0.0
    score = q**2 / 2 * largest / weights.sum()
    below, above = q * error, score + np.hypot(q * error, score)
    if samples < 2:
        below = above = np.full(len(mean), math.inf)
    below[list(fixed)] = above[list(fixed)] = 0.0
    return Band(mean=mean, lower=mean - below, upper=mean + above, level=level, samples=samples)


def _sup_quantile(
    covariance: np.ndarray, freedom: float, level: float, generator: torch.Generator
) -> float:
    """Return the quantile of max |Z| of a normal Z with these correlations, stretched by t."""
    variance = np.diagonal(covariance)
    live = np.isfinite(variance) & (variance > 0)
    each = (1 + level ** (1 / max(int(live.sum()), 1))) / 2  # Šidák
    if live.sum() < 2:
        return float(stdtrit(freedom, each))
    draws = torch.randn(DRAWS, int(live.sum()), generator=generator).double()
    scale = np.sqrt(variance[live])
    correlation = covariance[np.ix_(live, live)] / np.outer(scale, scale)
    values, vectors = np.linalg.eigh(correlation)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    normal = float(np.quantile(np.abs(draws.numpy() @ root.T).max(1), level))
    return normal * float(stdtrit(freedom, each) / ndtri(each))
