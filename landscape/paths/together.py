"""The outputs of a network at several points: one by one, or at once over stacked weights."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from landscape.errors import LandscapeError
from landscape.subject.batch import Batch
from landscape.subject.point import Point
from landscape.subject.subject import Subject
from landscape.subject.undisturbed import differentiable_attention

STACKED_BYTES = 2**30  # of weights that are stacked at a time
AGREEMENT = 1e-3  # relative, of outputs at once and one by one
TRIALS = 2  # of which the faster counts: the first sets things up


def outputs_together(subject: Subject, points: Sequence[Point], batch: Batch) -> Iterator[Any]:
    """Yield the outputs for one batch at every point, in order, over stacked weights (`vmap`).

    Args:
        subject: The caller guards it, and switches gradients off.
        points: Of its network; what they share is not stacked.
        batch: On the subject's device.

    Cost: a forward pass a point, but each operation runs once for many points.
    """
    room = max(1, STACKED_BYTES // max(points[0].theta.nbytes, 1))
    for start in range(0, len(points), room):
        yield from _stacked(subject, points[start : start + room], batch)


def together_pays(subject: Subject, points: Sequence[Point], batch: Batch) -> bool:
    """Return whether the points are evaluated faster at once than one by one, by a trial of both.

    On a CPU they are not, and nothing is tried: each operation is as large as a core wants it.

    Cost: four forward passes a point on an accelerator, none on a CPU.
    """
    if subject.device.type == "cpu" or len(points) < 2:
        return False
    try:
        single, alone = _timed(lambda: (subject.outputs(point, batch) for point in points))
        at_once, stacked = _timed(lambda: outputs_together(subject, points, batch))
    except (LandscapeError, RuntimeError) as error:
        subject.note(f"points are evaluated one by one: {str(error).splitlines()[0]}")
        return False
    pays = at_once < single and _agree(alone, stacked)
    subject.note(
        f"points are evaluated {'at once' if pays else 'one by one'}: {len(points)} take "
        f"{single * 1e3:.3g} ms one by one, {at_once * 1e3:.3g} ms at once"
    )
    return pays


def _stacked(subject: Subject, points: Sequence[Point], batch: Batch) -> Iterator[Any]:
    first = points[0].rest
    moving = [n for n in first if any(point.rest[n] is not first[n] for point in points[1:])]
    theta = torch.stack([point.theta for point in points])
    rest = {name: torch.stack([point.rest[name] for point in points]) for name in moving}

    def outputs(theta: Tensor, rest: dict[str, Tensor]) -> Any:
        return subject.outputs(Point(theta, {**first, **rest}), batch)

    with differentiable_attention(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "There is a performance drop")  # the trial shows it
        found = torch.vmap(outputs)(theta, rest)
    for k in range(len(points)):
        yield tree_map_only(Tensor, lambda tensor, k=k: tensor[k], found)


def _timed(outputs: Callable[[], Iterable[Any]]) -> tuple[float, list[Any]]:
    best, found = math.inf, []
    for _ in range(TRIALS):
        torch.accelerator.synchronize()
        start = time.perf_counter()
        found = list(outputs())
        torch.accelerator.synchronize()
        best = min(best, time.perf_counter() - start)
    return best, found


def _agree(ones: Sequence[Any], others: Sequence[Any]) -> bool:
    def tensors(found: Sequence[Any]) -> list[Tensor]:
        kept: list[Tensor] = []
        tree_map_only(Tensor, kept.append, list(found))
        return kept

    return all(
        torch.allclose(a, b, rtol=AGREEMENT, atol=AGREEMENT * float(a.abs().max()))
        for a, b in zip(tensors(ones), tensors(others), strict=True)
        if a.is_floating_point() and a.numel()
    )
