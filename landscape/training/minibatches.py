"""Minibatches of given data: every epoch in an order of its own, which a seed decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from landscape.subject.batch import Batch
from landscape.subject.regrouping import regrouped


@dataclass(frozen=True)
class Minibatches:
    """The minibatch of every step.

    Samples are dealt anew in every epoch, and what does not fill a minibatch is left out; where
    samples cannot be put together (sequences of several lengths), the batches are as they are
    given, in a new order.

    Args:
        batches: The data.
        size: Samples in a minibatch, at most as many as there are.
    """

    batches: Sequence[Batch]
    size: int
    _orders: dict[tuple[int, int], Tensor] = field(default_factory=dict, repr=False)

    @property
    def per_epoch(self) -> int:
        """Return the number of minibatches in an epoch."""
        return len(self.batches) if self.whole else self.batches[0].samples // self._fitted

    @property
    def whole(self) -> bool:
        """Return whether batches are taken as they are given."""
        return len(self.batches) > 1

    @property
    def _fitted(self) -> int:
        return min(self.size, self.batches[0].samples)

    def at(self, step: int, seed: int) -> Batch:
        """Return the minibatch of a step, the same whenever it is asked for."""
        epoch, place = divmod(step, self.per_epoch)
        order = self._order(epoch, seed)
        if self.whole:
            return self.batches[int(order[place])]
        rows = order[place * self._fitted : (place + 1) * self._fitted]
        return self.batches[0].mapped(lambda tensor: tensor[rows.to(tensor.device)])

    def _order(self, epoch: int, seed: int) -> Tensor:
        if (seed, epoch) not in self._orders:
            self._orders.clear()
            count = len(self.batches) if self.whole else self.batches[0].samples
            source = torch.Generator().manual_seed(1_000_003 * seed + epoch)
            self._orders[seed, epoch] = torch.randperm(count, generator=source)
        return self._orders[seed, epoch]


def minibatches(batches: Sequence[Batch], size: int) -> Minibatches:
    """Return minibatches of data, of single samples where those can be put together."""
    total = sum(one.samples for one in batches)
    joined = list(regrouped(batches, total))
    if len(joined) == 1 and _by_sample(joined[0]):
        return Minibatches(joined, size)
    return Minibatches(list(batches) if len(joined) > 1 else [joined[0], joined[0]], size)


def _by_sample(batch: Batch) -> bool:
    return all(tensor.dim() and len(tensor) == batch.samples for tensor in batch.tensors())
