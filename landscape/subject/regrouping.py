"""Batches merged and split: the same samples in the same order, in other portions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from landscape.subject.batch import Batch


def regrouped(batches: Iterable[Batch], samples: int) -> Iterator[Batch]:
    """Yield the same samples in the same order, at most `samples` at a time where that can be.

    Neighbours are merged when all their tensors have one entry per sample, of one shape; a batch is
    split when all its tensors have one entry per sample.
    """
    waiting: list[Batch] = []
    for batch in batches:
        for part in _split(batch, samples):
            full = sum(one.samples for one in waiting) + part.samples > samples
            if waiting and (full or not _alike(waiting[0], part)):
                yield _merged(waiting)
                waiting = []
            waiting.append(part)
    if waiting:
        yield _merged(waiting)


def _split(batch: Batch, samples: int) -> Iterator[Batch]:
    whole = batch.samples
    if whole <= samples or not _per_sample(batch):
        yield batch
        return
    for start in range(0, whole, samples):
        stop = min(start + samples, whole)
        yield batch.mapped(lambda tensor, a=start, b=stop: tensor[a:b])


def _per_sample(batch: Batch) -> bool:
    whole = batch.samples
    return all(tensor.dim() and len(tensor) == whole for tensor in batch.tensors())


def _alike(one: Batch, other: Batch) -> bool:
    def shapes(batch: Batch) -> list[tuple[str, torch.Size, torch.dtype]]:
        return [(path, t.shape[1:], t.dtype) for path, t in batch.named_tensors()]

    return _per_sample(one) and _per_sample(other) and shapes(one) == shapes(other)


def _merged(batches: Sequence[Batch]) -> Batch:
    if len(batches) == 1:
        return batches[0]
    parts = iter(list(zip(*(batch.tensors() for batch in batches), strict=True)))

    def joined(tensor: Tensor) -> Tensor:
        del tensor  # the first of the parts that come next
        return torch.cat(next(parts))

    return batches[0].mapped(joined)
