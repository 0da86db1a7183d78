"""Micro-batches: the batches of the data merged or split to the size that products want."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from landscape.errors import DataError, ModelError
from landscape.subject.batch import Batch
from landscape.subject.regrouping import regrouped
from landscape.subject.subject import Subject

MERGED_BYTES = 32 * 2**20  # intermediate results up to which merging saves overhead
LIVE = 3  # how many times the intermediate results of a forward pass one product keeps
AGREEMENT = 1e-4  # relative, of a sum over merged and over given batches


class Grouping:
    """The micro-batches of a subject's data.

    Args:
        subject: Is left undisturbed, and keeps the notes.
        value: A sum over the samples of a batch, by one forward pass: it tells how large
            intermediate results are, and whether batches may be regrouped.
        source: Yields the batches on the device, as the data give them.
        samples: Samples in a micro-batch; None chooses: small batches are merged, and large ones
            split so that a block of products fits the memory. In train mode neither is done.
        room: Bytes that one block of products may take.
        block: Vectors in a block.
    """

    def __init__(
        self,
        subject: Subject,
        value: Callable[[Batch], Tensor],
        source: Callable[[], Iterable[Batch]],
        samples: int | None,
        *,
        room: int,
        block: int,
    ) -> None:
        self._subject = subject
        self._value = value
        self._source = lambda: subject.share(source())
        first = next(iter(source()))
        self.bytes_per_sample = self._forward_bytes(first) / max(first.samples, 1)
        self._batches: list[Batch] | None = None
        self.as_given = subject.mode == "train"  # samples of a batch depend on one another
        self.samples = first.samples
        if not self.as_given:
            self.samples = samples or self._chosen(first.samples, room, block)
        self._arrange()

    def __iter__(self) -> Iterator[Batch]:
        """Yield the micro-batches, the same in every pass."""
        if self._batches is not None:
            return iter(self._batches)
        return iter(self._source() if self.as_given else regrouped(self._source(), self.samples))

    def __len__(self) -> int:
        """Return the number of micro-batches."""
        return self._number

    @property
    def bytes(self) -> float:
        """Return about how much a forward pass over all of them gives in intermediate results.

        ∞ where the data are not held in memory.
        """
        if self._batches is None:
            return math.inf
        return self.bytes_per_sample * sum(batch.samples for batch in self._batches)

    def halve(self) -> bool:
        """Make the micro-batches half as large; return whether that was possible."""
        largest = max((batch.samples for batch in self), default=1)
        if largest < 2 or self.as_given:
            return False
        self.samples = math.ceil(largest / 2)
        before = len(self)
        self._arrange()
        return len(self) > before

    def _arrange(self) -> None:
        source = self._source()
        if self.as_given:
            self._take(source)
            return
        if isinstance(source, list):
            self._batches = list(regrouped(source, self.samples))
            self._number = len(self._batches)
            changed = [one.samples for one in self._batches] != [one.samples for one in source]
        else:
            self._number = sum(1 for _ in regrouped(source, self.samples))
            changed = True
        if changed and not self._same_sum():
            self.as_given = True
            self._take(source)
            self._subject.note(
                "batches are used as given: what the network makes of a sample depends on its batch"
            )

    def _take(self, source: Iterable[Batch]) -> None:
        """Take the batches as the data give them."""
        self._batches = source if isinstance(source, list) else None
        self._number = sum(1 for _ in self._source())

    def _same_sum(self) -> bool:
        given = self._sum(self._source())
        try:
            own = self._sum(self)
        except (DataError, ModelError):  # a network for batches of one size
            return False
        return abs(given - own) <= AGREEMENT * max(abs(given), abs(own))

    def _sum(self, batches: Iterable[Batch]) -> float:
        with self._subject.undisturbed(0), torch.no_grad():
            return math.fsum(float(self._value(batch)) for batch in batches)

    def _chosen(self, given: int, room: int, block: int) -> int:
        per_sample = max(self.bytes_per_sample, 1.0)
        wanted = max(given, int(MERGED_BYTES / per_sample))
        return max(1, min(wanted, int(room / (per_sample * (LIVE + block)))))

    def _forward_bytes(self, batch: Batch) -> int:
        with self._subject.undisturbed(0), torch.no_grad(), _Sizes() as sizes:
            self._value(batch)
        return sizes.total


class _Sizes(TorchDispatchMode):
    """Adds up the memory of what operations return."""

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not getattr(func, "is_view", False):
            tree_map_only(Tensor, self._add, result)
        return result

    def _add(self, tensor: Tensor) -> Tensor:
        self.total += tensor.nbytes
        return tensor
