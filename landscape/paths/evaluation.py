"""Losses and errors of every sample at many points, the data outside and the points inside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape import progress
from landscape.paths.together import outputs_together, together_pays
from landscape.subject.batch import Batch
from landscape.subject.losses import BinaryCrossEntropy, CrossEntropy, Loss, MeanSquaredError
from landscape.subject.normalisation import Pooled, some_batches
from landscape.subject.per_sample import PerSample, per_sample
from landscape.subject.point import Point
from landscape.subject.subject import Subject

JOINED_BYTES = 2**25  # of outputs whose losses are taken in one call
KEPT_BYTES = 2**30  # of points that are kept; more are made again for every batch


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """What every sample loses at points of a path; all points see the same samples.

    Args:
        t: The points (T,), ascending.
        losses: Mean loss over what counts in a sample (T, N).
        errors: Share of what counts that is wrong (T, N); None for regression.
        weights: How much counts in each sample: labels, tokens or elements (N,).
        stale: Mean loss with statistics of normalisation layers that were not recomputed (T,),
            NaN where that was not tried; None where there are no such layers.
    """

    t: np.ndarray  # (T,)
    losses: np.ndarray  # (T, N)
    errors: np.ndarray | None  # (T, N)
    weights: np.ndarray  # (N,)
    stale: np.ndarray | None  # (T,)

    @property
    def loss(self) -> np.ndarray:  # (T,)
        """Return the mean loss over what counts."""
        return weighted_mean(self.losses, self.weights)

    @property
    def error(self) -> np.ndarray | None:  # (T,)
        """Return the share that is wrong."""
        return None if self.errors is None else weighted_mean(self.errors, self.weights)

    def joined(self, other: Evaluated) -> Evaluated:
        """Return the points of both, of the same samples, in order."""
        t = np.concatenate([self.t, other.t])
        order = np.argsort(t, kind="stable")
        errors, stale = None, None
        if self.errors is not None and other.errors is not None:
            errors = np.concatenate([self.errors, other.errors])[order]
        if self.stale is not None and other.stale is not None:
            stale = np.concatenate([self.stale, other.stale])[order]
        return Evaluated(
            t=t[order],
            losses=np.concatenate([self.losses, other.losses])[order],
            errors=errors,
            weights=self.weights,
            stale=stale,
        )


def weighted_mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:  # (T,)
    """Return the mean of every row (T, N), summed alike whatever the other rows are."""
    return (values * weights).sum(1) / weights.sum()


def evaluate(
    subject: Subject,
    points: Callable[[float], Point],
    ts: Sequence[float],
    batches: Iterable[Batch],
    *,
    refresh: bool = True,
    stale: bool = True,
    together: bool | None = None,
) -> Evaluated:
    """Return the losses and errors of every sample at some points.

    Statistics of normalisation layers are recomputed at every point, the ends included, from the
    same samples of the subject's data (`normalisation.some_batches`), whatever is evaluated on.

    Args:
        subject: Is left undisturbed.
        points: t ↦ point.
        ts: Where, ascending.
        batches: On the subject's device; read once, or thrice where statistics are recomputed.
        refresh: Recompute statistics.
        stale: Also tell what the loss would be with the statistics that the points came with.
        together: Evaluate the points at once over stacked weights; None tries both on an
            accelerator, and goes one by one on a CPU.

    Raises:
        ModelError: The loss gives nothing for single samples.

    Cost: a forward pass a point; with statistics, another, and one over at most some 5000 samples.
    """
    given = _Points(points, ts)
    with subject.undisturbed(0), torch.no_grad():
        fresh = _refreshed(subject, given) if refresh else given
        found = _passed(subject, given.ts, _Outputs(subject, fresh, together), batches)
        old = None
        if fresh is not given:
            old = np.full(len(ts), np.nan)
            if stale:
                own = _Outputs(subject, given, together)
                old = _passed(subject, given.ts, own, batches).loss
    return replace(found, stale=old)


def evaluate_outputs(
    subject: Subject,
    outputs: Callable[[float, Batch], Any],
    ts: Sequence[float],
    batches: Iterable[Batch],
) -> Evaluated:
    """Return the losses and errors of networks that are no points, such as repaired ones.

    Args:
        subject: Gives the loss; is left undisturbed.
        outputs: What the network at t makes of a batch.
        ts: Where, ascending.
        batches: On the subject's device; read once.
    """
    with subject.undisturbed(0), torch.no_grad():
        return _passed(subject, ts, lambda batch: (outputs(t, batch) for t in ts), batches)


class _Points:
    """The points at some t, kept when they fit, and made again for every batch when not."""

    def __init__(self, points: Callable[[float], Point], ts: Sequence[float]) -> None:
        self.ts = [float(t) for t in ts]
        self.make = points
        first = points(self.ts[0])
        size = first.theta.nbytes + sum(tensor.nbytes for tensor in first.rest.values())
        self.kept = [points(t) for t in self.ts] if size * len(ts) <= KEPT_BYTES else None

    def __iter__(self) -> Iterator[Point]:
        return iter(self.kept) if self.kept is not None else (self.make(t) for t in self.ts)


class _Outputs:
    """The outputs at some points, at once or one by one, whichever is faster unless it is said."""

    def __init__(self, subject: Subject, points: _Points, together: bool | None) -> None:
        self._subject, self._points, self._together = subject, points, together

    def __call__(self, batch: Batch) -> Iterator[Any]:
        subject, kept = self._subject, self._points.kept
        if self._together is None:
            self._together = kept is not None and together_pays(subject, kept, batch)
        if self._together and kept is not None:
            return outputs_together(subject, kept, batch)
        return (subject.outputs(point, batch) for point in self._points)


def _refreshed(subject: Subject, given: _Points) -> _Points:
    """Return the points with statistics of their own; the same object when there are none."""
    pooled = [Pooled(subject) for _ in given.ts]
    if not pooled[0].needed:
        return given
    batches = some_batches(subject)
    with progress.task("normalisation statistics", len(batches)) as task:
        for batch in batches:
            for one, point in zip(pooled, given, strict=True):
                one.add(point, batch)
            task.advance()
    own = dict(zip(given.ts, pooled, strict=True))
    return _Points(lambda t: own[t].at(given.make(t)), given.ts)


def _passed(
    subject: Subject,
    ts: Sequence[float],
    outputs: Callable[[Batch], Iterator[Any]],
    batches: Iterable[Batch],
) -> Evaluated:
    found: list[PerSample] = []  # of each batch, all points (T, b)
    length = len(batches) if isinstance(batches, list) else None
    with progress.task(f"evaluating {len(ts)} points", length) as task:
        for batch in batches:
            found.append(measured(subject.criterion, outputs(batch), batch, len(ts)))
            task.advance()
    counts = _columns([one.counts[:1] for one in found])[0]
    each = np.maximum(counts, 1)
    errors = [one.errors for one in found if one.errors is not None]
    return Evaluated(
        t=np.array(ts, dtype=np.float64),
        losses=_columns([one.losses for one in found]) / each,
        errors=_columns(errors) / each if errors else None,
        weights=counts,
        stale=None,
    )


def measured(loss: Loss, outputs: Iterator[Any], batch: Batch, points: int) -> PerSample:
    """Return what each sample adds to loss, errors and count at each point (T, b).

    Args:
        loss: Of the subject.
        outputs: For the batch, at every point.
        batch: On the device of the outputs.
        points: T.

    Raises:
        DataError: Outputs and targets do not fit together.
        ModelError: The loss gives nothing for single samples.
    """
    first = next(outputs)
    loss.check(first, batch.targets)
    if not _sums_of_samples(loss, first, points):
        ones = [per_sample(loss, one, batch.targets) for one in chain([first], outputs)]
        return _stacked(ones)
    every = torch.cat([first, *outputs])  # one call for all points: each is small
    targets = batch.targets.repeat(points, *[1] * (batch.targets.dim() - 1))
    whole = per_sample(loss, every, targets)
    return PerSample(
        losses=whole.losses.view(points, -1),
        errors=whole.errors.view(points, -1) if whole.errors is not None else None,
        counts=whole.counts.view(points, -1),
    )


def _sums_of_samples(loss: Loss, output: Any, points: int) -> bool:
    """Return whether the outputs at all points may be taken for one batch."""
    known = isinstance(loss, CrossEntropy | MeanSquaredError | BinaryCrossEntropy)
    return known and isinstance(output, Tensor) and output.nbytes * points <= JOINED_BYTES


def _stacked(ones: Sequence[PerSample]) -> PerSample:
    errors = [one.errors for one in ones if one.errors is not None]
    return PerSample(
        losses=torch.stack([one.losses for one in ones]),
        errors=torch.stack(errors) if errors else None,
        counts=torch.stack([one.counts for one in ones]),
    )


def _columns(parts: Sequence[Tensor]) -> np.ndarray:  # (T, N)
    return torch.cat(list(parts), 1).cpu().numpy()
