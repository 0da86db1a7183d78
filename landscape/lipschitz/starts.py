"""The samples at which the Jacobian is largest, from which climbs start."""

from __future__ import annotations

import heapq
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from landscape import budget, progress
from landscape.linalg.memory import free_bytes
from landscape.lipschitz.ascent import projected
from landscape.lipschitz.inputs import InputMap
from landscape.lipschitz.jacobian import largest_singular
from landscape.operators.memory import SHARE
from landscape.operators.microbatches import Grouping
from landscape.subject.batch import Batch
from landscape.subject.point import Point
from landscape.subject.regrouping import regrouped
from landscape.subject.subject import Subject

STEPS = 4  # of Lanczos, for every sample
GRAPHS = 3  # kept while a Jacobian is multiplied, each of the size of a forward pass
PORTION = 0.1  # of the time, that the samples taken at a time may take
RATE, PASSES = 3e10, 25  # operations in a second, and forward passes in a Jacobian, at least
SLOW = 0.2  # of the time, that a sample takes where nothing but one is affordable


@dataclass(frozen=True)
class Start:
    """A sample from which to climb, and what is known of its Jacobian."""

    sample: int
    function: InputMap  # of the sample alone
    x: Tensor  # (1, n)
    right: Tensor  # (1, n)
    value: float


def portion_of(subject: Subject, point: Point) -> int:
    """Return how many samples fit the memory; 1 where they depend on one another."""

    def value(batch: Batch) -> Tensor:
        return subject.objective(point, batch)(point.theta)

    grouping = Grouping(
        subject,
        value,
        subject.device_batches,
        subject.batch_size,
        room=int(SHARE * free_bytes(subject.device)),
        block=GRAPHS,
    )
    return 1 if grouping.as_given else grouping.samples


def surely_quick(subject: Subject, point: Point, portion: int, seconds: float) -> bool:
    """Return whether a portion takes little of the time even if each weight met each input entry.

    No clock is asked, so that small networks give the same numbers every time.
    """
    first = InputMap(subject, point, next(iter(subject.device_batches())))
    products = portion * PASSES * 2.0 * point.theta.numel() * first.start.shape[1]
    return products / RATE < PORTION * seconds


@dataclass(frozen=True)
class Pace:
    """The first sample, and how long its Jacobian took."""

    first: Start
    seconds: float

    def portion(self, limit: float) -> int:
        """Return how many samples take a share of the time."""
        return max(1, int(PORTION * limit / self.seconds))

    def slow(self, limit: float) -> bool:
        """Return whether one is all that the time allows."""
        return self.seconds > SLOW * limit


def pace_of(
    subject: Subject, point: Point, radius: float | None, generator: torch.Generator
) -> Pace:
    """Return how long a sample takes."""
    begun = time.monotonic()
    function = InputMap(subject, point, next(iter(subject.device_batches()))).of([0])
    x = projected(function.start, radius)
    found = largest_singular(function, x, steps=STEPS, generator=generator)
    value = float(found.values.nan_to_num(nan=0.0, posinf=0.0))
    return Pace(Start(0, function, x, found.right, value), time.monotonic() - begun)


def steepest_samples(
    subject: Subject,
    point: Point,
    starts: int,
    portion: int,
    radius: float | None,
    generator: torch.Generator,
) -> tuple[list[Start], int]:
    """Return the samples at which the Jacobian is largest, and how many were looked at."""
    kept: list[Start] = []
    seen = 0
    total = subject.batches.samples if subject.batches is not None else None
    with progress.task("Jacobians at the data", total) as task:
        for batch in regrouped(subject.device_batches(), portion):
            function = InputMap(subject, point, batch)
            x = projected(function.start, radius)
            found = largest_singular(function, x, steps=STEPS, generator=generator)
            values, right = found.values.nan_to_num(nan=0.0, posinf=0.0), found.right
            rows = values.topk(min(starts, len(x))).indices.tolist()
            kept += [
                Start(seen + row, function.of([row]), x[row, None], right[row, None], value)
                for row, value in zip(rows, values[rows].tolist(), strict=True)
            ]
            kept = heapq.nlargest(starts, kept, key=lambda one: (one.value, -one.sample))
            seen += batch.samples
            task.advance(batch.samples)
            if budget.spent():
                break
    return kept, seen


def alike(starts: Sequence[Start]) -> list[list[Start]]:
    """Return the starts whose inputs have the same shapes together."""
    groups: dict[str, list[Start]] = {}
    for start in starts:
        groups.setdefault(start.function.batch.described, []).append(start)
    return list(groups.values())
