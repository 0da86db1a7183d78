"""Intervals of means, ratios and functions of means over samples."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import betaincinv, stdtrit  # pyright: ignore[reportMissingTypeStubs]

from landscape.estimate import Estimate, Interval, t_half_width


def over_samples(draws: np.ndarray, method: str, *, level: float = 0.95) -> Estimate:
    """Return the mean of what samples (N,) give, with Student's t interval for other samples."""
    value, half = float(np.mean(draws)), t_half_width(draws, level)
    return sampled(value, (value - half, value + half), method, samples=len(draws), level=level)


def of_squares(draws: np.ndarray, method: str, *, level: float = 0.95) -> Estimate:
    """Return the mean of squares that samples (N,) give, with an interval for skewed draws.

    Student's quantile at half of the error that is due; the upper end is taken on the logarithm,
    where the spread of the mean is less than the mean.
    """
    number, value = len(draws), float(np.mean(draws))
    half = t_half_width(draws, 1 - (1 - level) / 2)
    low, high = max(value - half, 0.0), value + half
    if half < value:
        high = max(high, value * math.exp(half / value))
    return sampled(value, (low, high), method, samples=number, level=level)


def linearised(
    value: float, influence: np.ndarray, method: str, *, level: float = 0.95, log: bool = False
) -> Estimate:
    """Return a function of means, with an interval by the delta method.

    Args:
        value: The function at the means.
        influence: What each sample adds to it to first order (N,); of its logarithm where `log`.
        method: How it was computed.
        level: Probability that the interval covers.
        log: Take the interval on the logarithm; the value is positive.
    """
    half = t_half_width(influence - influence.mean(), level)
    ends = (value - half, value + half)
    if log:
        ends = (value * math.exp(-half), value * math.exp(min(half, 700.0)))
    return sampled(value, ends, method, samples=len(influence), level=level)


def sampled(
    value: float, interval: Interval, method: str, *, samples: int, level: float = 0.95
) -> Estimate:
    """Return an estimate all of whose doubt is that of the samples."""
    return Estimate(
        value=value,
        kind="estimate",
        interval=interval,
        level=level,
        sampling=interval,
        samples=samples,
        method=method,
    )


def jackknife(
    value: float, without: np.ndarray, method: str, *, samples: int, level: float = 0.95
) -> Estimate:
    """Return a statistic with the interval of the delete-one-group jackknife.

    Args:
        value: On everything.
        without: With each of K groups left out (K,).
        method: How it was computed.
        samples: In all groups.
        level: Probability that the interval covers.

    Source: Efron & Tibshirani 1993, §11.
    """
    groups = len(without)
    if groups < 2:
        return sampled(value, (-math.inf, math.inf), method, samples=samples)
    spread = (groups - 1) / groups * float(np.square(without - without.mean()).sum())
    half = float(stdtrit(groups - 1, (1 + level) / 2)) * math.sqrt(spread)
    return sampled(value, (value - half, value + half), method, samples=samples, level=level)


def share(count: int, samples: int, method: str, *, level: float = 0.95) -> Estimate:
    """Return a share of samples with the interval of Clopper and Pearson.

    Source: Clopper & Pearson 1934, Biometrika 26(4).
    """
    tail = (1 - level) / 2
    low = 0.0 if count == 0 else float(betaincinv(count, samples - count + 1, tail))
    high = 1.0 if count == samples else float(betaincinv(count + 1, samples - count, 1 - tail))
    return sampled(count / samples, (low, high), method, samples=samples, level=level)


def ratio_of_means(
    above: np.ndarray, below: np.ndarray, method: str, *, samples: int, level: float = 0.95
) -> Estimate:
    """Return the ratio of two means over the same groups, by Fieller's theorem.

    Its interval holds every ρ for which the mean of `above` − ρ `below` is not told from zero; it
    is open above where the denominator itself is not told from zero. Student's quantile is taken at
    half of the error that is due, because draws of squares are skewed.

    Args:
        above: Numerators (K,).
        below: Denominators (K,), of positive mean.
        method: How they were drawn.
        samples: Behind all of them.
        level: Probability that the interval covers.

    Returns:
        The ratio; its lower bound where the interval is open above.

    Source: Fieller 1954, J. R. Stat. Soc. B 16(2).
    """
    low, high = _fieller(above, below, level)
    if high == math.inf:
        return Estimate(
            value=low,
            kind="lower_bound",
            interval=(low, math.inf),
            level=level,
            samples=samples,
            method=f"{method}; the denominator is not told from zero",
        )
    value = float(above.mean()) / float(below.mean())
    return sampled(value, (min(low, value), max(high, value)), method, samples=samples, level=level)


def _quantile(groups: int, level: float) -> float:
    return float(stdtrit(groups - 1, 1 - (1 - level) / 4)) if groups > 1 else math.inf


def _fieller(above: np.ndarray, below: np.ndarray, level: float) -> Interval:
    """Return the roots in ρ of (ȳ − ρ x̄)² = t² var(y − ρ x) / K."""
    groups = len(above)
    if groups < 2:
        return 0.0, math.inf
    top, bottom = float(above.mean()), float(below.mean())
    square = _quantile(groups, level) ** 2 / groups
    spread = square * np.cov(above, below)
    a = bottom**2 - float(spread[1, 1])
    b = top * bottom - float(spread[0, 1])
    c = top**2 - float(spread[0, 0])
    if a <= 0 or bottom <= 0:  # it may be zero: nothing bounds the ratio from above
        return _least(above, below, level), math.inf
    root = math.sqrt(max(b * b - a * c, 0.0))
    return (b - root) / a, (b + root) / a


def _least(above: np.ndarray, below: np.ndarray, level: float) -> float:
    """Return the least ratio of what the two means may be, each by itself; 0 where it is less."""
    quantile = _quantile(len(above), level) / math.sqrt(len(above))
    low = float(above.mean()) - quantile * float(above.std(ddof=1))
    high = float(below.mean()) + quantile * float(below.std(ddof=1))
    return low / high if low > 0 and high > 0 else 0.0
