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


@dataclass(frozen=True)
class Start:
    """A sample from which to climb."""

    sample: int
    function: InputMap  # of the sample alone


def portion_of(
    subject: Subject, point: Point, seconds: float | None, generator: torch.Generator
) -> int:
    """Return how many samples to take at a time; 1 where they depend on one another.

    They fit the memory, and take at most a share of the time by the pace of one of them.
    """

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
    if grouping.as_given or seconds is None:
        return 1 if grouping.as_given else grouping.samples
    first = next(iter(subject.device_batches()))
    begun = time.monotonic()
    function = InputMap(subject, point, first).of([0])
    largest_singular(function, function.start, steps=STEPS, generator=generator)
    pace = time.monotonic() - begun
    return max(1, min(grouping.samples, int(PORTION * seconds / pace)))


def steepest_samples(
    subject: Subject,
    point: Point,
    starts: int,
    portion: int,
    radius: float | None,
    generator: torch.Generator,
) -> tuple[list[Start], int]:
    """Return the samples at which the Jacobian is largest, and how many were looked at."""
    kept: list[tuple[float, int, InputMap]] = []
    seen = 0
    total = subject.batches.samples if subject.batches is not None else None
    with progress.task("Jacobians at the data", total) as task:
        for batch in regrouped(subject.device_batches(), portion):
            function = InputMap(subject, point, batch)
            x = projected(function.start, radius)
            found = largest_singular(function, x, steps=STEPS, generator=generator).values
            values = found.nan_to_num(nan=0.0, posinf=0.0)
            rows = values.topk(min(starts, len(x))).indices.tolist()
            kept.extend((float(values[row]), -seen - row, function.of([row])) for row in rows)
            kept = heapq.nlargest(starts, kept, key=lambda one: one[:2])
            seen += batch.samples
            task.advance(batch.samples)
            if budget.spent():
                break
    return [Start(-number, function) for _, number, function in kept], seen


def alike(starts: Sequence[Start]) -> list[list[Start]]:
    """Return the starts whose inputs have the same shapes together."""
    groups: dict[str, list[Start]] = {}
    for start in starts:
        groups.setdefault(start.function.batch.described, []).append(start)
    return list(groups.values())
