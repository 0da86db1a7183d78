"""Lower bounds of the Lipschitz constant that a pair of inputs attains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from landscape import budget
from landscape.budget import Budget
from landscape.errors import NumericalError
from landscape.estimate import Status
from landscape.lipschitz.ascent import climb, projected
from landscape.lipschitz.inputs import InputMap
from landscape.lipschitz.jacobian import largest_singular
from landscape.lipschitz.starts import (
    Start,
    alike,
    pace_of,
    portion_of,
    steepest_samples,
    surely_quick,
)
from landscape.lipschitz.witness import Witness, evaluated, precision
from landscape.subject.point import Point
from landscape.subject.regrouping import regrouped
from landscape.subject.subject import Subject

STEPS = 16  # steps of Lanczos for those that are kept
EVALUATED = 3  # peaks, highest first, at which pairs are evaluated in float64
LENGTHS = (1e-4, 1e-1, 1e-2, 1e-3, 1e-5, 1e-6, 1e-7, 1e-8)  # of a pair, over the inputs' size


@dataclass(frozen=True, kw_only=True)
class Attained:
    """A lower bound of the Lipschitz constant, and the pair of inputs that attains it.

    Args:
        value: ‖f(x) − f(y)‖ / ‖x − y‖ of the witness in float64, less rounding.
        witness: The pair.
        at_data: The largest singular value of the Jacobian that was found at a sample.
        samples: How many were looked at.
        status: Converged, or cut by the budget; the bound holds either way.
    """

    value: float
    witness: Witness
    at_data: float
    samples: int
    status: Status


def attained(
    subject: Subject,
    point: Point,
    *,
    starts: int = 8,
    steps: int = 150,
    radius: float | None = None,
    seconds: float | None = None,
    generator: torch.Generator,
) -> Attained:
    """Return a lower bound of the ℓ₂ Lipschitz constant of the network in its inputs.

    The largest singular value of the Jacobian is found at every sample; the inputs where it is
    largest climb further; round the highest peaks, pairs x, y along the singular vector are
    evaluated in float64. Inputs are all floating inputs of a sample together, outputs what the loss
    reads.

    Args:
        subject: Is left undisturbed.
        point: Where in weight space.
        starts: Samples from which to climb.
        steps: Of each climb.
        radius: Of a ball round the origin that the pair must lie in; None: anywhere.
        seconds: Of wall-clock time, half of it for the data; what has begun is finished, and where
            one sample takes a fifth of it, no other is looked at. None: no bound.
        generator: Draws start vectors and moves.

    Raises:
        DataError: No input is floating, as with token ids.
        NumericalError: No pair has outputs that are finite and apart.

    Cost: about ten forward and backward passes over the data, and for each step about ten over the
    samples that climb.
    """
    subject.refuse_dependent("a Lipschitz constant")
    limit = Budget(seconds=seconds) if seconds is not None else None
    with subject.undisturbed(0), budget.spending(limit):
        samples, reached, cut = _searched(subject, point, starts, steps, radius, seconds, generator)
        best = _best_pair(subject, reached, radius)
        cut |= budget.spent() or (subject.batches is not None and samples < subject.batches.samples)
    return Attained(
        value=best.value,
        witness=best,
        at_data=max(one.at_start for one in reached),
        samples=samples,
        status=Status.BUDGET_SPENT if cut else Status.CONVERGED,
    )


def _searched(
    subject: Subject,
    point: Point,
    starts: int,
    steps: int,
    radius: float | None,
    seconds: float | None,
    generator: torch.Generator,
) -> tuple[int, list[_Reached], bool]:
    """Return how many samples were looked at, where climbs end, and whether some were left out.

    Where a single Jacobian takes a good part of the time, the first sample is all there is.
    """
    portion = portion_of(subject, point)
    if seconds is not None and not surely_quick(subject, point, portion, seconds):
        pace = pace_of(subject, point, radius, generator)
        if pace.slow(seconds):
            return 1, [_Reached.at(pace.first)], True
        portion = min(portion, pace.portion(seconds))
    with budget.shared(2):
        found, samples = steepest_samples(subject, point, starts, portion, radius, generator)
    reached: list[_Reached] = []
    for group in alike(found):
        if not (reached and budget.spent()):
            reached += _reached(subject, point, group, portion, steps, radius, generator)
    return samples, reached, budget.spent()


@dataclass(frozen=True)
class _Reached:
    """Where a climb ended, and how large the Jacobian is there and at the start."""

    start: Start
    at_start: float
    x: Tensor  # (1, n)
    v: Tensor  # (1, n)
    value: float

    @classmethod
    def at(cls, start: Start) -> Self:
        """Return a start that nobody climbed from."""
        return cls(start, start.value, start.x, start.right, start.value)


def _reached(
    subject: Subject,
    point: Point,
    starts: Sequence[Start],
    portion: int,
    steps: int,
    radius: float | None,
    generator: torch.Generator,
) -> Iterator[_Reached]:
    """Yield where climbs from some samples end."""
    at = 0
    for batch in regrouped([start.function.batch for start in starts], portion):
        function = InputMap(subject, point, batch)
        x = projected(function.start, radius)
        begun = largest_singular(function, x, steps=STEPS, generator=generator)
        peaks = climb(function, x, steps=steps, radius=radius, generator=generator)
        ended = largest_singular(function, peaks.x, steps=STEPS, generator=generator)
        for row in range(batch.samples):
            rose = bool(ended.values[row] > begun.values[row])
            there, found = (peaks.x, ended) if rose else (x, begun)
            yield _Reached(
                start=starts[at + row],
                at_start=float(begun.values[row]),
                x=there[row : row + 1],
                v=found.right[row : row + 1],
                value=float(found.values[row]),
            )
        at += batch.samples
        if budget.spent():
            return


def _best_pair(subject: Subject, reached: Sequence[_Reached], radius: float | None) -> Witness:
    """Return the best pair at the highest peaks, evaluated in float64.

    Raises:
        NumericalError: There is none.
    """
    wide, pairs = subject.in_precision(torch.float64), []
    ordered = sorted(reached, key=lambda one: one.value, reverse=True)
    for peak in ordered[:EVALUATED]:
        for pair in _pairs(peak.start.function.in_precision(wide, torch.float64), peak, radius):
            pairs.append(pair)
            if budget.spent():
                break
        if pairs and budget.spent():
            break
    if not pairs:
        raise NumericalError(
            "no two inputs have outputs that are finite and apart",
            where="lipschitz",
            why="the network is constant where the data lie, or overflows there",
            hint="look at its outputs, and at the scale of its inputs",
        )
    return max(pairs, key=lambda one: one.value)


def _pairs(function: InputMap, peak: _Reached, radius: float | None) -> Iterator[Witness]:
    """Yield pairs of several lengths along the singular vector at a peak."""
    x, v = peak.x.double(), peak.v.double()
    size = float(x.norm()) or 1.0
    unit = precision(function, x)
    for length in LENGTHS:
        reach = length * size * v
        ends = projected(x - reach, radius), projected(x + reach, radius)
        found = evaluated(function, *ends, sample=peak.start.sample, unit=unit)
        if found is not None:
            yield found
