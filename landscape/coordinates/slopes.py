"""Exponents of the width: slopes of logarithms, with intervals, and what they say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy.special import stdtrit  # pyright: ignore[reportMissingTypeStubs]

from landscape.estimate import Estimate, t_half_width

Outcome = Literal["pass", "fail", "undecided"]

METHOD = (
    "least-squares slope of the logarithm in ln(width), mean over seeds; the wider of Student's t "
    "over the slopes of the seeds and over the residuals of the mean curve"
)


def exponent(widths: np.ndarray, values: np.ndarray, *, level: float = 0.95) -> Estimate | None:
    """Return the slope of ln(value) in ln(width), with its interval.

    Networks are drawn independently, so the slopes of the seeds are independent draws; where the
    curve is no straight line, the residuals of the mean curve tell more than these.

    Args:
        widths: (w,), w ≥ 3.
        values: Positive (seeds, w).
        level: Probability that the interval covers, if either model holds.

    Returns:
        None where everything is zero; not a number where something is, or is not finite.
    """
    if not values.any() and np.isfinite(values).all():
        return None
    usable = np.isfinite(values) & (values > 0)
    if not usable.all():
        bad = ", ".join(f"{width:g}" for width in widths[~usable.all(0)])
        what = "not finite" if not np.isfinite(values).all() else "zero"
        return Estimate(
            value=math.nan,
            kind="estimate",
            interval=(math.nan, math.nan),
            level=level,
            samples=len(values),
            method=METHOD,
            reason=f"{what} at width {bad}",
        )
    x = np.log(widths) - np.log(widths).mean()
    logs = np.log(values)
    slopes = logs @ x / (x @ x)
    value = float(slopes.mean())
    half = max(t_half_width(slopes, level), _fit_half_width(x, logs.mean(0), value, level))
    return Estimate(
        value=value,
        kind="estimate",
        interval=(value - half, value + half),
        level=level,
        samples=len(values),
        method=METHOD,
    )


def _fit_half_width(x: np.ndarray, mean: np.ndarray, slope: float, level: float) -> float:
    """Return the half-width by the residuals of a curve (w,) about its line; x is centred."""
    freedom = len(x) - 2
    if freedom < 1:
        return math.inf
    residuals = mean - mean.mean() - slope * x
    deviation = math.sqrt(float(residuals @ residuals) / freedom / float(x @ x))
    return float(stdtrit(freedom, (1 + level) / 2)) * deviation


def judged(
    slope: Estimate | None, tolerance: float, *, may_fall: bool, bends: bool = False
) -> Outcome:
    """Return whether an exponent is zero within a tolerance, as far as its interval tells.

    Those of theory are multiples of one half. A curve that bends into its plateau (what a readout
    learns falls by a term of the order width^−½) has a slope that is not yet zero: of such it is
    enough that the interval leaves out twice the tolerance, by default the next exponent of theory.

    Args:
        slope: None: there is nothing that could scale.
        tolerance: The largest exponent that passes as zero.
        may_fall: Whether only growth fails.
        bends: Whether twice the tolerance is enough to pass; what fails is the same.
    """
    if slope is None:
        return "pass"
    if not math.isfinite(slope.value):
        return "undecided"
    low, high = slope.interval
    if low > tolerance or (not may_fall and high < -tolerance):
        return "fail"
    most = 2 * tolerance if bends else tolerance
    inside = high <= most and (may_fall or low >= -most)
    return "pass" if inside else "undecided"


def steepest_of(slopes: Sequence[Estimate | None]) -> tuple[int, Estimate] | None:
    """Return the step and slope that is farthest from zero, of those at t = 1, 2, 3 and so on."""
    found = [(t, one) for t, one in enumerate(slopes, start=1) if one is not None]
    finite = [pair for pair in found if math.isfinite(pair[1].value)]
    return max(finite, key=lambda pair: abs(pair[1].value), default=None)


def gravest(outcomes: Sequence[Outcome]) -> Outcome:
    """Return fail if any fails, else undecided if any is, else pass."""
    if "fail" in outcomes:
        return "fail"
    return "undecided" if "undecided" in outcomes else "pass"
