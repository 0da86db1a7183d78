"""How fast the gradient changes along a step of descent: effective smoothness."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from landscape import progress
from landscape.estimate import Estimate
from landscape.signals.samples import UnavailableError
from landscape.subject.subject import Subject

RATES = (0.25, 0.5, 1.0, 2.0)  # of the learning rate
DISTANCES = (1e-3, 3e-3, 1e-2, 3e-2)  # of ‖θ‖, where there is no learning rate
ROUNDING = 16  # units in the last place of a gradient


@dataclass(frozen=True, kw_only=True)
class Stepped:
    """What a step −s g meets.

    Args:
        rate: s.
        distance: s ‖g‖.
        loss: At the end of the step.
        change: ‖g′ − g‖ / ‖g‖, with g′ the gradient there: how predictive g is.
        smoothness: β = ‖g′ − g‖ / (s ‖g‖).
    """

    rate: float
    distance: float
    loss: Estimate
    change: Estimate
    smoothness: Estimate


@dataclass(frozen=True, kw_only=True)
class Smoothness:
    """The effective smoothness along the gradient.

    Args:
        effective: The largest β of all steps: a lower bound of the gradient's Lipschitz constant.
        steps: Shortest first.
        by: What the steps are fractions of.
    """

    effective: Estimate
    steps: tuple[Stepped, ...]
    by: str


def smoothness(subject: Subject, gradient: Tensor, rate: float | None) -> Smoothness:
    """Return β along the gradient, over steps around the learning rate.

    On a quadratic with curvature H ⪰ 0, β = ‖Hg‖ / ‖g‖ for every step, between the smallest and the
    largest eigenvalue, and an eigenvalue where g is its eigenvector.

    Args:
        subject: What is studied.
        gradient: g (n,), of the mean loss at the subject's point.
        rate: The learning rate; None: steps of a thousandth to three hundredths of ‖θ‖.

    Raises:
        UnavailableError: The gradient is zero or not finite.

    Cost: a gradient and a loss over the data for each of four steps.

    Source: Santurkar et al. 2018, arXiv 1805.11604, §3.1.
    """
    length = _length(gradient)
    if not 0 < length < float("inf"):
        raise UnavailableError("the gradient is zero" if length == 0 else "it is not finite")
    size = max(_length(subject.point.theta), 1e-30)
    rates = [part * rate for part in RATES] if rate else [d * size / length for d in DISTANCES]
    steps = []
    with progress.task("steps along the gradient", len(rates)) as task:
        for one in rates:
            steps.append(_step(subject, gradient, one, length))
            task.advance()
    finite = [one for one in steps if one.smoothness.status.settled]
    if not finite:
        raise UnavailableError("the gradient is not finite after any step")
    best = max(finite, key=lambda one: one.smoothness.value).smoothness
    return Smoothness(
        effective=Estimate(
            value=best.value,
            kind="lower_bound",
            interval=(best.interval[0], float("inf")),
            level=1.0,
            solver=best.interval,
            method=f"the largest of {len(finite)} steps along −g",
        ),
        steps=tuple(steps),
        by="the learning rate" if rate else "the length of the weights",
    )


def _step(subject: Subject, gradient: Tensor, rate: float, length: float) -> Stepped:
    point = subject.point
    there = point.moved((point.theta - rate * gradient).detach())
    moved = there.theta.double() - point.theta.double()  # rounding shortens a short step
    distance = _length(moved)
    after = subject.gradient(there)
    apart = _length(after.double() - gradient.double())
    error = ROUNDING * torch.finfo(gradient.dtype).eps * max(length, _length(after))
    told = "over the given data; rounding of the gradients"
    if distance == 0:
        raise UnavailableError("a step is lost in the rounding of the weights")
    return Stepped(
        rate=rate,
        distance=distance,
        loss=Estimate.exact(subject.loss(there), "over the given data"),
        change=_rounded(apart / length, error / length, told),
        smoothness=_rounded(apart / distance, error / distance, told),
    )


def _rounded(value: float, error: float, method: str) -> Estimate:
    return Estimate.within(value, (max(value - error, 0.0), value + error), method)


def _length(vector: Tensor) -> float:
    return float(torch.linalg.vector_norm(vector, dtype=torch.float64))
