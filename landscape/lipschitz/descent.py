"""Anytime minimisation over multipliers: a limited-memory quasi-Newton method that stays inside."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from landscape.lipschitz.recursion import Value

MEMORY = 20  # pairs of steps and changes of the gradient
LARGEST = 1.0  # step in log λ, any coordinate
SUFFICIENT = 1e-4  # Armijo's share of the decrease that the slope promises
HALVINGS = 30
PATIENCE = 6  # steps over which progress is judged
TEMPERATURES = (0.03, 0.003, 0.0003)

Objective = Callable[[Tensor, float], tuple[Value, Tensor] | None]


@dataclass(frozen=True)
class Iterate:
    """A feasible point, and the square of the bound there."""

    point: Tensor  # (N,)
    square: float


def descend(objective: Objective, start: Tensor, *, tolerance: float) -> Iterator[Iterate]:
    """Yield feasible points; the bound falls as a trend, and the caller keeps the best.

    BFGS with limited memory and backtracking that also leaves what is not feasible, at ever lower
    temperatures: the largest eigenvalue is smoothed ever less, and the barrier sinks.

    Args:
        objective: Value and gradient (N,) at a point and temperature; None where not feasible.
        start: Feasible, (N,).
        tolerance: Relative progress over some steps below which a temperature is done with.

    Cost: a little over one evaluation for each point.

    Source: Nocedal & Wright 2006, algorithm 7.5.
    """
    point = start
    for temperature in TEMPERATURES:
        for found in _at(objective, point, temperature, max(tolerance, 0.02 * temperature)):
            point = found.point
            yield found


def _at(
    objective: Objective, point: Tensor, temperature: float, tolerance: float
) -> Iterator[Iterate]:
    found = objective(point, temperature)
    if found is None:
        return
    value, gradient = found
    pairs: list[tuple[Tensor, Tensor]] = []
    seen = [value.smooth]
    while True:
        step = _direction(gradient, pairs)
        slope = float(step @ gradient)
        if not slope < 0:
            return
        moved = _searched(objective, point, step, temperature, value.smooth, slope)
        if moved is None and not pairs:
            return
        if moved is None:
            pairs = []  # begin again along the gradient
            continue
        after, (value, new_gradient) = moved
        change = (after - point, new_gradient - gradient)
        if float(change[0] @ change[1]) > 1e-12 * float(change[0].norm() * change[1].norm()):
            pairs = [*pairs, change][-MEMORY:]
        point, gradient = after, new_gradient
        yield Iterate(point, value.square)
        seen.append(value.smooth)
        if len(seen) > PATIENCE and seen[-1 - PATIENCE] - seen[-1] < tolerance:
            return


def _searched(
    objective: Objective,
    point: Tensor,
    step: Tensor,
    temperature: float,
    value: float,
    slope: float,
) -> tuple[Tensor, tuple[Value, Tensor]] | None:
    """Return the first point along a step, halved again and again, that is low enough."""
    length = min(1.0, LARGEST / float(step.abs().max()))
    for _ in range(HALVINGS):
        after = point + length * step
        found = objective(after, temperature)
        if found is not None and found[0].smooth <= value + SUFFICIENT * length * slope:
            return after, found
        length /= 2
    return None


def _direction(gradient: Tensor, pairs: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Return −H g with the inverse Hessian that the pairs tell of."""
    step, scales = gradient.clone(), []
    for moved, changed in reversed(pairs):
        scale = (moved @ step) / (moved @ changed)
        scales.append(scale)
        step -= scale * changed
    if pairs:
        moved, changed = pairs[-1]
        step *= (moved @ changed) / (changed @ changed)
    else:
        step /= gradient.abs().max().clamp_min(torch.finfo(gradient.dtype).tiny)
    for (moved, changed), scale in zip(pairs, reversed(scales), strict=True):
        step += (scale - (changed @ step) / (moved @ changed)) * moved
    return -step
