"""Which data train, and which judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from landscape.errors import DataError, ModelError
from landscape.subject.batch import Batch
from landscape.subject.per_sample import PerSample, per_sample
from landscape.subject.subject import Subject
from landscape.training.minibatches import Minibatches, minibatches

HELD_OUT, SPLIT, GIVEN = "held-out data", "a fifth of the given data, held out", "the given data"
SHARE = 5  # one sample in so many is held out where none are given


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What a network does on the data that judge; a sample counts by what counts in it.

    Args:
        losses: Summed over each sample (N,).
        errors: How many of each are wrong (N,); None for regression.
        counts: How much counts in each (N,).
    """

    losses: np.ndarray  # (N,)
    errors: np.ndarray | None  # (N,)
    counts: np.ndarray  # (N,)

    @property
    def loss(self) -> float:
        """Return the mean loss."""
        return float(self.losses.sum() / self.counts.sum())

    @property
    def accuracy(self) -> float | None:
        """Return the share that is right."""
        return None if self.errors is None else float(1 - self.errors.sum() / self.counts.sum())


@dataclass(frozen=True, kw_only=True)
class Split:
    """The data of a study.

    Args:
        training: For plain training; on the device.
        judging: On the device.
        told: What judges, in words.
        fresh: Whether training has not seen what judges, as far as is known.
    """

    training: tuple[Batch, ...] = field(repr=False)
    judging: tuple[Batch, ...] = field(repr=False)
    told: str
    fresh: bool

    @property
    def samples(self) -> int:
        """Return how many samples judge."""
        return sum(one.samples for one in self.judging)

    def judged(self, subject: Subject, tensors: dict[str, Tensor]) -> Judged:
        """Return what the network does with given tensors. Cost: a forward pass of what judges."""
        point = subject.network.point(tensors)
        found = list[PerSample]()
        with subject.undisturbed(0), torch.no_grad():
            for batch in self.judging:
                found.append(_samples(subject, subject.outputs(point, batch), batch))
        errors = [one.errors for one in found if one.errors is not None]
        return Judged(
            losses=_joined([one.losses for one in found]),
            errors=_joined(errors) if len(errors) == len(found) else None,
            counts=_joined([one.counts for one in found]),
        )

    def minibatches(self, size: int) -> Minibatches:
        """Return the minibatches of plain training."""
        return minibatches(self.training, size)


def split(subject: Subject, *, own: bool) -> Split:
    """Return what trains and what judges.

    Held-out data judge where there are any. Otherwise, plain training leaves out a fifth of the
    given samples, the same every time; a function of the user's reads data of its own, and the
    given data judge.

    Args:
        subject: Has data.
        own: Whether the user's function trains.

    Raises:
        DataError: The data cannot be split.
    """
    given = tuple(subject.device_batches())
    if subject.held_out is not None:
        judging = tuple(subject.held_out.on(subject.device, subject.dtype))
        return Split(training=given, judging=judging, told=HELD_OUT, fresh=True)
    if own:
        return Split(training=given, judging=given, told=GIVEN, fresh=False)
    joined = minibatches(given, 1)
    if joined.whole:
        return _by_batch(given)
    (batch,) = joined.batches
    order = np.random.RandomState(0).permutation(batch.samples)
    held = batch.samples // SHARE
    if held == 0:
        raise _too_few(batch.samples)
    parts = (torch.from_numpy(np.sort(rows)) for rows in (order[held:], order[:held]))
    training, judging = (batch.mapped(lambda t, r=rows: t[r.to(t.device)]) for rows in parts)
    return Split(training=(training,), judging=(judging,), told=SPLIT, fresh=True)


def _by_batch(given: Sequence[Batch]) -> Split:
    judging = tuple(given[SHARE - 1 :: SHARE])
    if not judging:
        raise _too_few(sum(one.samples for one in given))
    training = tuple(one for n, one in enumerate(given) if n % SHARE != SHARE - 1)
    return Split(training=training, judging=judging, told=SPLIT, fresh=True)


def _samples(subject: Subject, outputs: object, batch: Batch) -> PerSample:
    """Return losses of single samples; of the batch as one, where the loss gives no others."""
    criterion = subject.criterion
    try:
        return per_sample(criterion, outputs, batch.targets)
    except ModelError:
        total = criterion.total(outputs, batch.targets).double().reshape(1)
        count = torch.full_like(total, criterion.count(outputs, batch.targets))
        return PerSample(losses=total, errors=None, counts=count)


def _joined(parts: Sequence[Tensor]) -> np.ndarray:
    return torch.cat([part.double().cpu() for part in parts]).numpy()


def _too_few(samples: int) -> DataError:
    return DataError(
        f"{samples} samples are too few to hold some out",
        where="data",
        why=f"one in {SHARE} judges what the others train",
        hint="give --held-out, or more data",
    )
