"""A path evaluated on a grid that is refined where its maximum may hide, and resumed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import reduce

import numpy as np
import torch

from landscape import budget
from landscape.paths.evaluation import Evaluated, evaluate
from landscape.paths.grid import COARSE, COUNT, refinement
from landscape.paths.together import STACKED_BYTES, together_pays
from landscape.subject.batch import Batch
from landscape.subject.point import Point
from landscape.subject.subject import Subject

CHUNK = 4  # points that share a pass over the data, and are lost together in an interruption
STACKED = len(COARSE)  # the same, where points are evaluated at once over stacked weights


def scan(
    subject: Subject,
    points: Callable[[float], Point],
    batches: Iterable[Batch],
    *,
    name: str,
    count: int = COUNT,
) -> Evaluated:
    """Return the losses and errors along a path at about `count` points, 0, ½ and 1 among them.

    Eleven even points first; then, a few at a time, those of `grid.refinement` for loss and error
    above the line between the ends. Each few are kept by `subject.once`, and so is whether points
    are evaluated at once: after an interruption they are looked up, and the outcome is the same.

    Args:
        subject: Is left undisturbed.
        points: t ↦ point.
        batches: Data on the subject's device, gone through again for every few points.
        name: What tells path and data from others: `route.digest`, and the hash of the batches.
        count: Points in all, at least 11; fewer where a budget is spent.

    Raises:
        BudgetError: A budget is spent before the even points.

    Cost: `count` times that of `evaluate` at a point.
    """

    def at_once(subject: Subject, *, path: str) -> bool:
        del path  # part of the key
        return _pays(subject, points, batches)

    together = subject.once(at_once, path=name)
    lot = STACKED if together else CHUNK

    def evaluated(subject: Subject, *, path: str, at: list[float], stale: bool) -> Evaluated:
        del path
        return evaluate(subject, points, at, batches, stale=stale, together=together)

    def looked_up(ts: Sequence[float], *, first: bool) -> Evaluated:
        found = list[Evaluated]()
        for start in range(0, len(ts), lot):
            if first:
                budget.require(f"{len(ts)} points of a path were evaluated")
            part = list(ts[start : start + lot])
            found.append(subject.once(evaluated, path=name, at=part, stale=first))
        return reduce(Evaluated.joined, found)

    found = looked_up(COARSE, first=True)
    while (room := count - len(found.t)) > 0 and not budget.spent():
        added = refinement(found.t, _excess(found), room=room)
        if not len(added):
            break
        found = found.joined(looked_up([float(t) for t in added], first=False))
    return found


def _pays(subject: Subject, points: Callable[[float], Point], batches: Iterable[Batch]) -> bool:
    size = points(COARSE[0]).theta.nbytes * len(COARSE)
    if subject.device.type == "cpu" or size > STACKED_BYTES:
        return False
    with subject.undisturbed(0), torch.no_grad():
        return together_pays(subject, [points(t) for t in COARSE], next(iter(batches)))


def _excess(found: Evaluated) -> np.ndarray:  # (1 or 2, T)
    """Return loss and error above the lines between the ends."""
    rows = [found.loss] if found.error is None else [found.loss, found.error]
    with np.errstate(invalid="ignore"):
        return np.stack([row - (1 - found.t) * row[0] - found.t * row[-1] for row in rows])
