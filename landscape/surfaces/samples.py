"""The samples that a surface is evaluated on: all of the data, or some spread evenly over them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from landscape.subject.batch import Batch
from landscape.subject.subject import Subject


@dataclass(frozen=True)
class Samples:
    """Batches on the device of a subject, to be gone through again and again.

    Args:
        subject: Whose data.
        most: How many samples at most, about; 0: all.
    """

    subject: Subject
    most: int = 0

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches, each thinned evenly: the same every time."""
        source = enumerate(self.subject.device_batches())
        if self._share >= 1:
            return (batch for _, batch in source)
        stride, share = self._stride, self._share * self._stride
        return (
            batch.spread(max(1, math.floor(share * batch.samples)))
            for number, batch in source
            if number % stride == 0
        )

    def __len__(self) -> int:
        """Return the number of batches."""
        return math.ceil(self._batches / self._stride)

    @property
    def name(self) -> str:
        """Return what tells the samples from others."""
        batches = self.subject.batches
        return f"{batches.hash if batches is not None else ''} {self.most}"

    @cached_property
    def _share(self) -> float:
        samples = self.subject.batches.samples if self.subject.batches is not None else 1
        return self.most / samples if self.most else 1.0

    @property
    def _batches(self) -> int:
        return len(self.subject.batches) if self.subject.batches is not None else 1

    @property
    def _stride(self) -> int:
        """Return one batch in how many is taken: more than one where samples are fewer."""
        if self._share >= 1:
            return 1
        return max(1, math.ceil(self._batches / self.most))
