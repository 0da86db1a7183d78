"""The slope of a straight line through points of which some may be far off."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtri  # pyright: ignore[reportMissingTypeStubs]

from landscape.estimate import Estimate


def theil_sen(
    x: np.ndarray, y: np.ndarray, *, level: float = 0.95, method: str = "Theil-Sen"
) -> Estimate | None:
    """Return the median of the slopes through all pairs of points, with Sen's interval.

    The interval is read off the ordered slopes: as many are left out at each end as Kendall's S
    differs from its expectation by chance alone.

    Args:
        x: Places (k,).
        y: Values (k,); what is not finite is left out.
        level: Probability that the interval covers.
        method: What was fitted, in words.

    Returns:
        The slope, or None from points that are too few for an interval: at 95 % fewer than six.

    Cost: k² / 2 slopes.

    Source: Sen 1968, JASA 63(324), §2 and §4.
    """
    kept = np.isfinite(x) & np.isfinite(y)
    x, y = x[kept], y[kept]
    first, second = np.triu_indices(len(x), 1)
    run, rise = x[second] - x[first], y[second] - y[first]
    slopes = np.sort(rise[run != 0] / run[run != 0])
    half = float(ndtri((1 + level) / 2)) * math.sqrt(_variance(len(x), x, y))
    below = math.floor((len(slopes) - half) / 2)  # slopes outside each end
    if below < 1:
        return None
    interval = (float(slopes[below - 1]), float(slopes[len(slopes) - below]))
    value = float(np.median(slopes))
    return Estimate(
        value=value,
        kind="estimate",
        interval=interval,
        level=level,
        samples=len(x),
        method=f"{method}, {len(x)} points",
    )


def _variance(count: int, x: np.ndarray, y: np.ndarray) -> float:
    """Return the variance of Kendall's S under independence, with its correction for ties."""
    whole = count * (count - 1) * (2 * count + 5)
    for values in (x, y):
        ties = np.unique(values, return_counts=True)[1]
        whole -= int((ties * (ties - 1) * (2 * ties + 5)).sum())
    return max(whole, 0) / 18
