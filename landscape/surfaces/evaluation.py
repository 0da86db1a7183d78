"""Mean loss and error at many points, streamed: memory does not grow with the samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape.errors import ModelError
from landscape.paths.evaluation import KEPT_BYTES, measured
from landscape.paths.together import STACKED_BYTES, outputs_together, together_pays
from landscape.progress import Task
from landscape.subject.batch import Batch
from landscape.subject.normalisation import Pooled, some_batches, uses_running_statistics
from landscape.subject.per_sample import PerSample
from landscape.subject.point import Point
from landscape.subject.subject import Subject
from landscape.surfaces.memory_format import channels_last_fits, with_channels_last
from landscape.surfaces.samples import Samples

LOSS, LOSS_DEVIATION, ERROR, ERROR_DEVIATION = range(4)  # rows of what is found


class Sums:
    """What mean and standard error of T quantities need, added up over batches.

    With s the sum over what counts in a sample and c the count, the mean is m = Σs / Σc, and its
    variance that of a ratio of means, N/(N − 1) Σ (s − mc)² / (Σc)².

    Source: Cochran 1977, §6.4.
    """

    def __init__(self) -> None:
        self._sums: Tensor | float = 0.0  # (4, T): Σs, Σs², Σsc, and how many samples count
        self._counts: Tensor | float = 0.0  # (2,): Σc, Σc²

    def add(self, sums: Tensor, counts: Tensor) -> None:
        """Take samples in: s (T, b) and c (b,), float64."""
        parts = (sums.sum(1), sums.square().sum(1), sums @ counts)
        kept = (counts > 0).sum().double().expand(len(sums))
        self._sums = self._sums + torch.stack((*parts, kept))
        self._counts = self._counts + torch.stack((counts.sum(), counts.square().sum()))

    def values(self) -> Tensor:  # (2, T)
        """Return means and standard errors; NaN for the error of a single sample."""
        total, squares, mixed, kept = torch.as_tensor(self._sums)
        count, count_squares = torch.as_tensor(self._counts)
        mean = total / count
        spread = squares - 2 * mean * mixed + mean.square() * count_squares
        variance = spread.clamp(min=0.0) * kept / (kept - 1) / count.square()
        return torch.stack((mean, torch.where(kept > 1, variance.sqrt(), torch.nan)))


@dataclass(frozen=True)
class Evaluator:
    """Evaluates points on the samples, the data outside and the points inside.

    Args:
        subject: Is left undisturbed.
        samples: What is evaluated on.
        recompute: Compute statistics of normalisation layers anew at every point.
    """

    subject: Subject
    samples: Samples
    recompute: bool

    @cached_property
    def refreshing(self) -> list[Batch]:
        """Return the batches that statistics are recomputed from; none where none are."""
        needed = self.recompute and uses_running_statistics(self.subject)
        return some_batches(self.subject) if needed else []

    @cached_property
    def laid_out(self) -> Callable[[Batch], Batch]:
        """Return how a batch is laid out in memory."""
        with self.subject.undisturbed(0), torch.no_grad():
            fits = channels_last_fits(self.subject, next(iter(self.samples)))
        return with_channels_last if fits else lambda batch: batch

    @property
    def steps(self) -> int:
        """Return how many forward passes over a batch a point takes."""
        return len(self.samples) + len(self.refreshing)

    @cached_property
    def by_sample(self) -> bool:
        """Return whether the loss has a value for single samples; else batches are the samples."""
        subject, batch = self.subject, next(iter(self.samples))
        with subject.undisturbed(0), torch.no_grad():
            outputs = iter([subject.outputs(subject.point, batch)])
            try:
                measured(subject.criterion, outputs, batch, 1)
            except ModelError:
                return False
        return True

    def pays(self, points: Sequence[Point]) -> bool:
        """Return whether several points are evaluated faster at once, by a trial on a device."""
        on_host = self.subject.device.type == "cpu"
        if on_host or points[0].theta.nbytes * len(points) > STACKED_BYTES:
            return False
        with self.subject.undisturbed(0), torch.no_grad():
            return together_pays(self.subject, points, next(iter(self.samples)))

    def values(
        self, make: Callable[[int], Point], count: int, task: Task, *, together: bool = False
    ) -> np.ndarray:  # (4, count)
        """Return loss, its standard error, error and its standard error at some points.

        The errors are NaN where there are none (regression), standard errors in train mode, where
        samples depend on one another.

        Args:
            make: Number ↦ point; called again for every batch where the points take much memory.
            count: How many points.
            task: Is told of every forward pass.
            together: Evaluate the points at once over stacked weights.

        Cost: a forward pass a point; with statistics, one more over at most some 5000 samples.
        """
        points = _Points(make, count)
        with self.subject.undisturbed(0), torch.no_grad():
            if self.refreshing:
                points = self._refreshed(points, task)
            return self._passed(points, task, together=together)

    def _refreshed(self, points: _Points, task: Task) -> _Points:
        pooled = [Pooled(self.subject) for _ in range(points.count)]
        for batch in map(self.laid_out, self.refreshing):
            for one, point in zip(pooled, points, strict=True):
                one.add(point, batch)
                task.advance()
        return _Points(lambda number: pooled[number].at(points.make(number)), points.count)

    def _passed(self, points: _Points, task: Task, *, together: bool) -> np.ndarray:
        subject, loss, error = self.subject, Sums(), Sums()
        has_error = False
        for batch in map(self.laid_out, self.samples):
            outputs = (
                outputs_together(subject, list(points), batch)
                if together
                else (subject.outputs(point, batch) for point in points)
            )
            each = self._measured(_told(outputs, task), batch, points.count)
            loss.add(each.losses, each.counts[0])
            if each.errors is not None:
                error.add(each.errors, each.counts[0])
                has_error = True
        told = loss.values()
        wrong = error.values() if has_error else torch.full_like(told, torch.nan)
        found = torch.cat((told, wrong)).cpu().numpy()
        if subject.mode == "train":
            found[[LOSS_DEVIATION, ERROR_DEVIATION]] = np.nan
        return found

    def _measured(self, outputs: Iterator[Any], batch: Batch, count: int) -> PerSample:
        """Return what each sample adds at each point (T, b), or what the batch does (T, 1)."""
        if self.by_sample:
            return measured(self.subject.criterion, outputs, batch, count)
        loss, losses, counted = self.subject.criterion, [], 0
        for one in outputs:
            losses.append(loss.total(one, batch.targets).double())
            counted = loss.count(one, batch.targets)
        sums = torch.stack(losses)[:, None]
        return PerSample(losses=sums, errors=None, counts=torch.full_like(sums, float(counted)))


class _Points:
    """Some points, kept when they fit, and made again for every batch when not."""

    def __init__(self, make: Callable[[int], Point], count: int) -> None:
        self.make, self.count = make, count
        first = make(0)
        size = first.theta.nbytes
        self._kept = None
        if size * count <= KEPT_BYTES:
            self._kept = [first, *(make(number) for number in range(1, count))]

    def __iter__(self) -> Iterator[Point]:
        if self._kept is not None:
            return iter(self._kept)
        return (self.make(number) for number in range(self.count))


def _told(outputs: Iterator[Any], task: Task) -> Iterator[Any]:
    for one in outputs:
        yield one
        task.advance()
