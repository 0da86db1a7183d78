"""What is asked of a tangent kernel, and of which samples."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from landscape.errors import SettingError
from landscape.linalg.probes import rademacher
from landscape.signals.samples import rows_of
from landscape.subject.batch import Batch
from landscape.subject.batches import Batches
from landscape.subject.losses import IGNORED, CrossEntropy
from landscape.subject.subject import Subject
from landscape.tangent.calling import outputs_of
from landscape.tangent.memory import Kind


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The settings of a question.

    Args:
        kind: Full, trace, classes, sketch or products.
        samples: At most so many.
        probes: Directions of a sketch.
        ridge: Over the mean eigenvalue; 0: the one with the least leave-one-out error.
        rate: Whether the largest stable learning rate is wanted.
        seed: Of directions and start vectors.
        top: Eigenvalues that are found where the kernel is not formed.
        memory_bytes: For factors, tiles and the kernel; None: a share of what is free.
    """

    kind: str
    samples: int
    probes: int
    ridge: float
    rate: bool
    seed: int
    top: int
    memory_bytes: int | None

    @property
    def tiled(self) -> Kind:
        """Return what the tiles hold: a sketch needs every direction by itself."""
        kinds: dict[str, Kind] = {"full": "full", "trace": "trace"}
        return kinds.get(self.kind, "classes")


def chosen(subject: Subject, data: Batches | None, most: int) -> list[Batch]:
    """Return at most so many samples, as `chosen_at`."""
    return chosen_at(subject, data, most)[0]


def chosen_at(subject: Subject, data: Batches | None, most: int) -> tuple[list[Batch], np.ndarray]:
    """Return at most so many samples, evenly spaced over the data, and their places in it.

    They are on the subject's device. Samples whose labels the cross-entropy ignores are left out.

    Raises:
        SettingError: There are no data, or no sample has a label.
    """
    if data is None:
        raise SettingError(
            "no data were given",
            where="tangent kernel",
            why="the kernel is one of samples",
            hint="give --data",
        )
    picked = list(_picked(subject, data, min(most, data.samples)))
    if not picked:
        raise SettingError(
            "no sample that was chosen has a label",
            where="tangent kernel",
            why="outputs whose target is ignored have no row in the kernel",
            hint="give data with labels, or more --samples",
        )
    return [batch for batch, _ in picked], np.concatenate([places for _, places in picked])


def _picked(subject: Subject, data: Batches, count: int) -> Iterable[tuple[Batch, np.ndarray]]:
    rows = torch.linspace(0, data.samples - 1, count, dtype=torch.float64).round().long()
    start = 0
    for batch in data.on(subject.device, subject.dtype):
        kept = rows[(rows >= start) & (rows < start + batch.samples)] - start
        kept = kept[_labelled(subject, batch)[kept]]
        if len(kept):
            whole = len(kept) == batch.samples
            yield batch if whole else rows_of(batch, kept), (kept + start).numpy()
        start += batch.samples


def _labelled(subject: Subject, batch: Batch) -> Tensor:  # (n,), bool, on the host
    targets = batch.targets
    if not isinstance(subject.criterion, CrossEntropy) or not isinstance(targets, Tensor):
        return torch.ones(batch.samples, dtype=torch.bool)
    if targets.dim() == 0 or targets.is_floating_point():
        return torch.ones(batch.samples, dtype=torch.bool)
    return (targets != IGNORED).reshape(len(targets), -1).any(1).cpu()


def directions(subject: Subject, batches: list[Batch], asked: Asked) -> Tensor | None:
    """Return the random signs of a sketch (O, R)."""
    if asked.kind != "sketch":
        return None
    drawn = signs(outputs_of(subject, batches[0]), asked.probes, asked.seed, batches[0])
    return drawn.to(subject.point.theta)  # tokens have no precision of their own


def signs(outputs: int, probes: int, seed: int, batch: Batch) -> Tensor:  # (O, R)
    """Return random signs, the same for every checkpoint, in the precision of a batch's inputs."""
    like = next((t for t in batch.tensors() if t.is_floating_point()), torch.zeros(()))
    generator = torch.Generator().manual_seed(seed)
    drawn = rademacher(probes, outputs, like=like.flatten()[:0], generator=generator)
    return drawn.T.contiguous()
