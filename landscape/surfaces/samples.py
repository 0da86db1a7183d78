"""The samples that a surface is evaluated on: all of the data, or some spread evenly over them."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from landscape.subject.batch import Batch
from landscape.subject.batches import Batches
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
        return self._thinned(self.subject.device_batches())

    def __len__(self) -> int:
        """Return the number of batches."""
        return math.ceil(self._batches / self._stride)

    def alone(self) -> Subject:
        """Return the subject with these samples for its data; itself where they are all."""
        if self._share >= 1 or self.subject.batches is None:
            return self.subject
        taken = [_given(batch) for batch in self._thinned(self.subject.batches)]
        one = copy.copy(self.subject)
        vars(one).pop("counted", None)  # what the mean of the others runs over
        one.batches = Batches(taken)
        return one

    def _thinned(self, source: Iterable[Batch]) -> Iterator[Batch]:
        if self._share >= 1:
            return iter(source)
        stride, share = self._stride, self._share * self._stride
        return (
            batch.spread(max(1, math.floor(share * batch.samples)))
            for number, batch in enumerate(source)
            if number % stride == 0
        )

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


def _given(batch: Batch) -> Any:
    """Return a batch in the form in which data are given: (inputs, targets), or a mapping."""
    if batch.args:
        return (batch.args[0], batch.targets)
    targets = {} if batch.target_key is None else {batch.target_key: batch.targets}
    return {**batch.kwargs, **targets}
