"""Second derivatives of functions that round, from differences at steps of their own choice."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

SHRINK = 4  # from step to step
LEVELS = 14
LEAST = 4
SAFETY = 2.0  # on what tells the error of an extrapolation
DROWNED = 0.1  # rounding over the difference, at which smaller steps tell nothing


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A second derivative from differences, extrapolated to step zero."""

    value: float
    error: float  # of truncation and rounding together, estimated
    step: float  # the larger of the two that it rests on


def second_difference(f: Callable[[float], float], *, largest: float, noise: float) -> Difference:
    """Return f'' at 0 from (f(h) − 2 f(0) + f(−h)) / h² at falling steps h.

    Args:
        f: A function of the distance.
        largest: The first step.
        noise: σ, the standard deviation of the rounding of f.

    Cost: two values of f for each step; at most 14 steps.
    """
    middle = f(0.0)
    return extrapolated(
        lambda h: (f(h) - 2 * middle + f(-h)) / h**2,
        lambda h: 2 * math.sqrt(6) * noise / h**2,
        largest=largest,
    )


def slope_difference(
    slope: Callable[[float], float], *, largest: float, noise: float
) -> Difference:
    """Return f'' at 0 from (f'(h) − f'(−h)) / 2h, whose steps may be much smaller.

    Args:
        slope: f' as a function of the distance.
        largest: The first step.
        noise: The standard deviation of the rounding of f'.

    Cost: two slopes for each step; at most 14 steps.
    """
    return extrapolated(
        lambda h: (slope(h) - slope(-h)) / (2 * h),
        lambda h: math.sqrt(2) * noise / h,
        largest=largest,
    )


def extrapolated(
    difference: Callable[[float], float], rounding: Callable[[float], float], *, largest: float
) -> Difference:
    """Return central differences D at falling steps, extrapolated, with an estimate of the error.

    D(h) is off by O(h²), so that two steps h and h/4 give R = (16 D(h/4) − D(h)) / 15, off by
    O(h⁴). Its error is taken to be twice its distance from D(h/4), from the extrapolation at larger
    steps, and from the one at smaller steps beyond their rounding, and two standard deviations of
    its own: over many kinks a function may look smooth, with another curvature than at 0. The
    extrapolation with the smallest error counts. Where the function has a kink at 0, no step agrees
    with the next, and the error says so.

    Args:
        difference: D.
        rounding: Two standard deviations of the rounding of D(h).
        largest: The first step.

    Source: Richardson 1911; Moré & Wild 2011, SIAM J. Sci. Comput. 33(3) (noise).
    """
    found, before, step = list[_Extrapolation](), math.nan, largest
    for _ in range(LEVELS):
        now, unsure = difference(step), rounding(step)
        value = (SHRINK**2 * now - before) / (SHRINK**2 - 1)
        found.append(_Extrapolation(value, abs(value - now), unsure, step * SHRINK))
        if unsure > DROWNED * abs(now) and len(found) > LEAST:
            break
        before, step = now, step / SHRINK
    none = Difference(value=math.nan, error=math.inf, step=largest)
    return min(_weighed(found), key=lambda one: one.error, default=none)


class _Extrapolation(NamedTuple):
    value: float
    truncation: float
    rounding: float
    step: float


def _weighed(found: list[_Extrapolation]) -> Iterator[Difference]:
    """Yield those that have neighbours, with their errors; none where one is not finite."""
    for larger, one, smaller in zip(found, found[1:], found[2:], strict=False):
        apart = abs(one.value - larger.value) + max(
            0.0, abs(one.value - smaller.value) - smaller.rounding
        )
        error = SAFETY * (one.truncation + apart) + one.rounding
        if math.isfinite(error):
            yield Difference(value=one.value, error=error, step=one.step)


def rounding_noise(
    f: Callable[[float], float], *, spacing: float, unit: float, size: float = 0.0
) -> float:
    """Return the standard deviation of the rounding of f near 0, from differences of five values.

    Third and fourth differences of close values are all rounding: their variances are 20 and 70
    times that of f.

    Args:
        f: A function of the distance.
        spacing: Of the values, so small that f is a parabola over it.
        unit: Of rounding, relative: the least that is returned is half of it.
        size: Of what cancels in f, where that is larger than f.

    Source: Hamming 1971; Moré & Wild 2011, SIAM J. Sci. Comput. 33(3).
    """
    values = np.array([f(k * spacing) for k in range(-2, 3)])
    third, fourth = np.diff(values, 3), np.diff(values, 4)
    squares = [*(third**2 / 20), *(fourth**2 / 70)]
    least = unit * max(abs(float(values[2])), size) / 2
    return max(math.sqrt(float(np.mean(squares))), least)
