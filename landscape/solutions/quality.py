"""Means over samples with their doubt, and paired differences of such means."""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import binom

from landscape.estimate import Estimate
from landscape.signals.intervals import linearised, sampled, share

Z = 1.959963984540054  # the quantile of a normal at 97.5 %


def mean(values: np.ndarray, weights: np.ndarray, method: str) -> Estimate:
    """Return a weighted mean over samples (N,), with an interval for other samples.

    Clopper and Pearson's where every sample is right or wrong, else Student's of the linearised
    ratio.
    """
    if _counted(values, weights):
        return share(int(values.sum()), len(values), f"{method}, Clopper-Pearson")
    return linearised(_mean(values, weights), _influence(values, weights), method)


def paired(first: np.ndarray, other: np.ndarray, weights: np.ndarray, method: str) -> Estimate:
    """Return the mean of `other` less that of `first`, every sample compared with itself.

    Where every sample is right or wrong, half a sample is added to each of the two ways in which
    networks can differ on it, so that the interval has a width when they never do.

    Source: Agresti & Min 2005, Statistics in Medicine 24 (simple improved intervals for matched
    pairs).
    """
    apart = other - first
    if not (_counted(first, weights) and _counted(other, weights)):
        return linearised(_mean(apart, weights), _influence(apart, weights), f"{method}, paired")
    number = len(apart) + 2
    up, down = float((apart > 0).sum()) + 0.5, float((apart < 0).sum()) + 0.5
    centre = (up - down) / number
    half = Z * math.sqrt(up + down - (up - down) ** 2 / number) / number
    value = float(apart.mean())
    ends = (max(-1.0, min(centre - half, value)), min(1.0, max(centre + half, value)))
    return sampled(value, ends, f"{method}, paired, Agresti and Min", samples=len(apart))


def median(values: np.ndarray, method: str, *, level: float = 0.95) -> Estimate:
    """Return the median of samples (N,), between two of the ordered samples.

    Exact whatever the distribution: P(x₍ₖ₎ ≤ median ≤ x₍N₊₁₋ₖ₎) ≥ level.
    """
    ordered = np.sort(values)
    number = len(ordered)
    rank = int(binom.ppf((1 - level) / 2, number, 0.5))  # how many may lie below, at the least
    ends = (-math.inf, math.inf)
    if rank >= 1 and binom.cdf(rank - 1, number, 0.5) <= (1 - level) / 2:
        ends = (float(ordered[rank - 1]), float(ordered[number - rank]))
    return sampled(float(np.median(ordered)), ends, method, samples=number, level=level)


def _counted(values: np.ndarray, weights: np.ndarray) -> bool:
    return bool((weights == 1).all() and np.isin(values, (0.0, 1.0)).all())


def _mean(values: np.ndarray, weights: np.ndarray) -> float:
    return float((values * weights).sum() / weights.sum())


def _influence(values: np.ndarray, weights: np.ndarray) -> np.ndarray:  # (N,)
    return weights / weights.mean() * (values - _mean(values, weights))
