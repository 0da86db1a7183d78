"""The plane that holds most of a run: principal components of its checkpoints, streamed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from landscape import progress
from landscape.errors import SettingError
from landscape.linalg.products import dots, gram
from landscape.subject.files.checkpoint import Checkpoint
from landscape.subject.subject import Subject

HELD_BYTES = 2**26  # of checkpoints that are held at a time; one at least
FLAT = 1e-6  # of the largest singular value: a smaller one is rounding


@dataclass(frozen=True, eq=False, kw_only=True)
class Components:
    """Principal components of the differences of checkpoints from the last.

    Args:
        directions: Orthonormal vectors (n,), the first holding most.
        explained: Share of the squared distances that each holds (k,).
        positions: Of the checkpoints along them (t, k); the last lies at the origin.
        apart: Distance of the checkpoints from the span (t,).
        distance: Of the checkpoints from the last (t,).
    """

    directions: tuple[Tensor, ...]
    explained: np.ndarray
    positions: np.ndarray
    apart: np.ndarray
    distance: np.ndarray


def refuse_too_few(subject: Subject, count: int) -> None:
    """Refuse a run that cannot span so many directions.

    Raises:
        SettingError: It has too few checkpoints.
    """
    if len(subject.checkpoints) <= count:
        raise SettingError(
            f"{count + 1} checkpoints are needed, {len(subject.checkpoints)} given",
            where="--directions trajectory",
            why="the run is seen from its last checkpoint",
            hint="name more checkpoints of the run",
        )


def components(subject: Subject, *, count: int) -> Components:
    """Return the principal components of a run, about its last checkpoint.

    With the rows dᵢ = θᵢ − θ_t, DDᵀ = V Σ² Vᵀ: directions are DᵀV Σ⁻¹, positions V Σ. Nothing is
    subtracted but the last checkpoint, so that the plane passes through it.

    Args:
        subject: With three checkpoints or more (count + 1 at least).
        count: Directions.

    Raises:
        SettingError: The checkpoints span fewer directions.

    Cost: t² reads of n numbers; memory: two checkpoints and `count` directions, whatever t is.

    Source: Li et al. 2018, arXiv 1712.09913, §7. Differs from the source: no mean is subtracted.
    """
    refuse_too_few(subject, count)
    run = _Run(subject)
    square = run.gram()
    values, vectors = np.linalg.eigh(square)
    values, vectors = values[::-1][:count], vectors[:, ::-1][:, :count]
    least = FLAT**2 * max(float(values[0]), float(np.finfo(float).tiny))
    if not values[-1] > least:
        raise SettingError(
            f"the checkpoints span fewer than {count} directions",
            where="--directions trajectory",
            why="they are the same, or lie on a line",
            hint="give other checkpoints, or ask for one dimension: --dimensions 1",
        )
    vectors = vectors * np.where(vectors[0] < 0, -1.0, 1.0)  # the first checkpoint lies ahead
    singular = np.sqrt(values)
    directions = run.combined(vectors / singular)
    last = np.zeros((1, count))
    positions = np.concatenate([vectors * singular, last])
    squares = np.append(np.diagonal(square), 0.0)
    outside = np.maximum(squares - np.square(positions).sum(1), 0.0)
    return Components(
        directions=directions,
        explained=values / np.trace(square),
        positions=positions,
        apart=np.sqrt(outside),
        distance=np.sqrt(squares),
    )


class _Run:
    """The differences of checkpoints from the last, read a few at a time."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._last = subject.point.theta
        self._before: tuple[Checkpoint, ...] = subject.checkpoints[:-1]
        self._held = max(1, HELD_BYTES // max(self._last.nbytes, 1))

    def gram(self) -> np.ndarray:  # (t − 1, t − 1)
        """Return the products of the differences with one another, in float64."""
        count = len(self._before)
        found = np.zeros((count, count))
        with progress.task("the plane of the run", count) as task:
            for start, rows in self._blocks():
                stop = start + len(rows)
                found[start:stop, start:stop] = gram(rows).cpu().numpy()
                for number in range(stop, count):
                    found[start:stop, number] = dots(rows, self._difference(number)).cpu().numpy()
                    found[number, start:stop] = found[start:stop, number]
                task.advance(len(rows))
        return found

    def combined(self, weights: np.ndarray) -> tuple[Tensor, ...]:
        """Return Σᵢ wᵢₖ dᵢ for every column of weights (t − 1, k), summed in float64."""
        total = torch.zeros(
            weights.shape[1], len(self._last), dtype=torch.float64, device=self._last.device
        )
        for start, rows in self._blocks():
            part = torch.from_numpy(weights[start : start + len(rows)].T.copy()).to(total)
            total += part @ rows.double()
        return tuple(total.to(self._last.dtype))

    def _blocks(self) -> Iterator[tuple[int, Tensor]]:
        for start in range(0, len(self._before), self._held):
            numbers = range(start, min(start + self._held, len(self._before)))
            yield start, torch.stack([self._difference(number) for number in numbers])

    def _difference(self, number: int) -> Tensor:
        return self._subject.at(self._before[number]).point.theta - self._last
