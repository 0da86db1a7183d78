"""Stiff gradient flows by explicit steps of many stages, whose number grows as the square root."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from landscape.errors import NumericalError

DAMPING = 2 / 13
SAFETY = 0.8  # of a step that the last error allows
GROWTH, SHRINKAGE = 5.0, 0.1  # of a step, at most and at least
MARGIN = 1.2  # of the largest rate over what power iteration found
STARTED, REFUSED = 20, 10  # iterations for the largest rate at first, and after a refused step
MOST_STEPS = 5000

Slope = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Flow:
    """dy/dt = F(y) whose Jacobian is −M with a symmetric positive semidefinite M in some metric.

    Args:
        slope: F.
        curvature: M v and ⟨v, M v⟩ / ⟨v, v⟩ in the metric, at y.
        size: Of an error of y.
        largest: A bound on the eigenvalues of M everywhere.
    """

    slope: Slope
    curvature: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, float]]
    size: Callable[[np.ndarray], float]
    largest: float


def integrated(
    flow: Flow, start: np.ndarray, times: np.ndarray, *, tolerance: float
) -> Iterator[np.ndarray]:
    """Yield y at every time, from y = `start` at time 0.

    Runge-Kutta-Chebyshev of second order with as many stages as the largest rate and the step
    need: s stages are stable for steps of 0.65 s² over the largest rate. That rate is followed by
    power iteration; a step that was unstable has a large error and is refused.

    Args:
        flow: What is integrated.
        start: y at 0.
        times: Ascending, positive (t,).
        tolerance: Of `flow.size` of the error of one step; that of all goes as its power of ⅔.

    Raises:
        NumericalError: `MOST_STEPS` are not enough.

    Cost: about √(1.54 h μ) evaluations a step of length h, μ the largest rate.

    Source: Sommeijer, Shampine & Verwer 1998, J. Comput. Appl. Math. 88(2).
    """
    y, f = start, flow.slope(start)
    direction, rate = _rate(flow, y, f, STARTED)
    now, step, taken = 0.0, 0.25 / max(flow.largest, 1e-300), 0
    for time in times:
        while now < time * (1 - 1e-12):
            if (taken := taken + 1) > MOST_STEPS:
                raise NumericalError(
                    f"{MOST_STEPS:,} steps did not reach the end of a gradient flow",
                    where="tangent kernel",
                    why=f"at {now:.3g} of {time:.3g}",
                    hint="use --dtype float64, or fewer --samples",
                )
            h = min(step, time - now)
            moved = _step(flow.slope, y, f, h, _stages(h * min(MARGIN * rate, flow.largest)))
            slope = flow.slope(moved)
            gap = 0.8 * (y - moved) + 0.4 * h * (f + slope)
            error = flow.size(gap) / tolerance
            fits = math.isfinite(error) and error <= 1
            factor = SAFETY * max(error, 1e-12) ** (-1 / 3) if math.isfinite(error) else SHRINKAGE
            if fits:
                now, y, f = now + h, moved, slope
            elif math.isfinite(error):  # an unstable step grew along the largest rate
                direction = gap
            next_step = h * min(max(factor, SHRINKAGE), GROWTH)
            step = max(step, next_step) if fits and h < step else next_step
            direction, rate = _rate(flow, y, direction, 1 if fits else REFUSED)
        yield y


def _rate(
    flow: Flow, y: np.ndarray, direction: np.ndarray, iterations: int
) -> tuple[np.ndarray, float]:
    """Return nearly the direction of the largest eigenvalue of M, and that from below."""
    rate = 0.0
    for _ in range(iterations):
        length = float(np.linalg.norm(direction))
        if not length:
            return direction, rate
        direction, rate = flow.curvature(y, direction / length)
    return direction, rate


def _stages(reach: float) -> int:
    """Return how many stages are stable for a step of so many times the shortest time."""
    return max(2, 1 + int(math.sqrt(1.54 * reach + 1)))


def _step(slope: Slope, y: np.ndarray, f: np.ndarray, h: float, stages: int) -> np.ndarray:
    """Return y a step later.

    Args:
        slope: F.
        y: Before.
        f: F(y).
        h: The step.
        stages: At least 2.
    """
    w0 = 1 + DAMPING / stages**2
    t, d, dd = _chebyshev(w0, stages)
    w1 = d[-1] / dd[-1]
    b = np.empty(stages + 1)
    b[2:] = dd[2:] / d[2:] ** 2
    b[0], b[1] = b[2], 1 / w0
    a = 1 - b * t
    older, old = y, y + h * b[1] * w1 * f
    for j in range(2, stages + 1):
        mu, nu, scaled = 2 * b[j] * w0 / b[j - 1], -b[j] / b[j - 2], 2 * b[j] * w1 / b[j - 1]
        new = (1 - mu - nu) * y + mu * old + nu * older
        new += h * scaled * (slope(old) - a[j - 1] * f)
        older, old = old, new
    return old


def _chebyshev(at: float, order: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return T_j, T_j' and T_j'' for all j up to an order."""
    t, d, dd = (np.zeros(order + 1) for _ in range(3))
    t[0], t[1], d[1] = 1, at, 1
    for j in range(2, order + 1):
        t[j] = 2 * at * t[j - 1] - t[j - 2]
        d[j] = 2 * t[j - 1] + 2 * at * d[j - 1] - d[j - 2]
        dd[j] = 4 * d[j - 1] + 2 * at * dd[j - 1] - dd[j - 2]
    return t, d, dd
