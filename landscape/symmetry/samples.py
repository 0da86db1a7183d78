"""The samples with which a network is read and its symmetries are proved: a few of each kind.

A graph tells of what one batch does. Another batch of another shape may take other branches, and
where branches follow values, so may another batch of the same shape.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from landscape.errors import SettingError
from landscape.subject.batch import Batch
from landscape.subject.subject import Subject

SAMPLES = 3  # of a batch
SHAPES = 4  # batches of different shapes
SPREAD = 8  # batches where branches follow values
MANY = 64  # samples of each of these

One = TypeVar("One")


def by_shape(subject: Subject) -> list[Batch]:
    """Return one batch of every shape in the data, at most four: among them the extreme ones.

    Raises:
        SettingError: There are no data.
    """
    found: dict[Any, Batch] = {}
    for batch in _batches(subject):
        kind = _kind(batch)
        if kind not in found or found[kind].samples < min(SAMPLES, batch.samples):
            found[kind] = batch
    return _spaced(sorted(found.values(), key=_size), SHAPES)


def spread(subject: Subject) -> list[Batch]:
    """Return batches evenly spaced over the data, and of each samples evenly spaced over it.

    Raises:
        SettingError: There are no data.
    """
    return [batch.spread(MANY) for batch in _spaced(list(_batches(subject)), SPREAD)]


def _batches(subject: Subject) -> Iterable[Batch]:
    """Return all batches, held-out ones last."""
    if subject.batches is None:
        raise SettingError(
            "no data were given",
            where="permutation groups",
            why="the graph of a network is read from one call of it",
            hint="give --data",
        )
    return chain(subject.batches, subject.held_out or ())


def _kind(batch: Batch) -> Any:
    """Return shapes but for the number of samples, dtypes, and all that is no tensor."""
    leaves, structure = pytree.tree_flatten((batch.args, dict(batch.kwargs)))
    return (str(structure), *(_described(each, batch.samples) for each in leaves))


def _described(leaf: Any, samples: int) -> Any:
    if not isinstance(leaf, Tensor):
        return repr(leaf)
    shape = tuple(leaf.shape)
    return leaf.dtype, shape[1:] if shape[:1] == (samples,) else shape


def _size(batch: Batch) -> float:
    return sum(tensor.numel() for tensor in batch.tensors()) / max(batch.samples, 1)


def _spaced(items: Sequence[One], most: int) -> list[One]:
    places = torch.linspace(0, len(items) - 1, min(most, len(items))).round().long()
    return [items[i] for i in places.tolist()]
