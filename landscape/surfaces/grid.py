"""A frame evaluated row by row, each row kept: what was interrupted goes on where it was."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from landscape import progress
from landscape.subject.files.checkpoint import Checkpoint
from landscape.subject.subject import Subject
from landscape.surfaces.evaluation import Evaluator
from landscape.surfaces.frame import Frame

TRIED = 8  # points by which it is tried whether evaluating several at once pays


def evaluated(evaluator: Evaluator, frame: Frame, *, name: str) -> np.ndarray:  # (4, rows, g)
    """Return loss, its standard error, error and its standard error at every point of a frame.

    Each row is kept by `subject.once`, and so is whether its points are evaluated at once.

    Args:
        evaluator: Of the subject whose points they are.
        frame: Where.
        name: Of the work, for who follows it.

    Cost: rows × g times that of a point.
    """
    subject, count = evaluator.subject, len(frame.x)
    key = f"{frame.digest} {evaluator.samples.name} {evaluator.recompute}"
    computed: set[int] = set()

    def at_once(subject: Subject, *, surface: str) -> bool:
        del subject, surface  # part of the key
        row = frame.row(0)
        return evaluator.pays([row(float(x)) for x in frame.x[:TRIED]])

    together = subject.once(at_once, surface=key)

    def surface_row(subject: Subject, *, surface: str, row: int) -> np.ndarray:
        del subject, surface
        computed.add(row)
        point = frame.row(row)
        return evaluator.values(
            lambda number: point(float(frame.x[number])), count, task, together=together
        )

    rows = []
    with progress.task(name, frame.rows * count * evaluator.steps) as task:
        for number in range(frame.rows):
            rows.append(subject.once(surface_row, surface=key, row=number))
            if number not in computed:
                task.advance(count * evaluator.steps)
    return np.stack(rows, 1)


def evaluated_checkpoints(
    evaluator: Evaluator, checkpoints: Sequence[Checkpoint]
) -> np.ndarray:  # (4, t)
    """Return the same at checkpoints, each with the buffers and frozen weights of its own.

    Cost: that of a point each.
    """
    subject, count = evaluator.subject, len(checkpoints)

    def checkpoint_values(
        subject: Subject, *, samples: str, recompute: bool, weights: list[str]
    ) -> np.ndarray:
        del samples, recompute, weights  # part of the key
        with progress.task("the checkpoints", count * evaluator.steps) as task:
            return evaluator.values(
                lambda number: subject.at(checkpoints[number]).point, count, task
            )

    return subject.once(
        checkpoint_values,
        samples=evaluator.samples.name,
        recompute=evaluator.recompute,
        weights=[subject.weights_fingerprint(one) for one in checkpoints],
    )
