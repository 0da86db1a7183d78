"""Rectangular pieces of a tensor in which every dimension is one atom."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from landscape.symmetry.axes import Atom, Axes, Label, root, size_of


@dataclass(frozen=True)
class Dimension:
    """One atom of a piece: the steps that it takes along one axis of the tensor."""

    atom: Atom
    size: int
    stride: int  # in positions along the axis
    axis: int


@dataclass(frozen=True)
class Segment:
    """A piece of a tensor: where it starts on each axis, and its dimensions."""

    offsets: tuple[int, ...]
    dimensions: tuple[Dimension, ...]

    def occurrences(self, atom: Atom) -> list[int]:
        """Return the positions of the dimensions that an atom has."""
        return [i for i, each in enumerate(self.dimensions) if each.atom is atom]

    def beside(self, position: int, outer: Atom) -> int | None:
        """Return the dimension of an outer atom that goes with the dimension of an inner one.

        It is the one on the same axis, or the only one; None where that is not unique.
        """
        found = self.occurrences(outer)
        axis = self.dimensions[position].axis
        same = [i for i in found if self.dimensions[i].axis == axis]
        chosen = same or found
        return chosen[0] if len(chosen) == 1 else None


_Piece = tuple[int, tuple[tuple[Atom, int, int], ...]]  # start; atoms with size and stride


def segments(axes: Axes) -> Iterator[Segment]:
    """Yield the pieces of a tensor: one for each choice of a part of every concatenation."""
    indices = list(dict.fromkeys(index for label in axes for index in _indices(label)))
    for chosen in product(*(range(index.size) for index in indices)):
        at = dict(zip(indices, chosen, strict=True))
        for pieces in product(*(_pieces(label, 1, at) for label in axes)):
            dimensions = (
                Dimension(atom, size, stride, axis)
                for axis, (_, atoms) in enumerate(pieces)
                for atom, size, stride in atoms
            )
            yield Segment(tuple(start for start, _ in pieces), tuple(dimensions))


def _indices(label: Iterable[Atom]) -> Iterator[Atom]:
    """Yield the atoms whose index says which copy of others is meant."""
    for atom in map(root, label):
        if atom.copies is not None:
            yield root(atom.copies[0])
        for part in [atom.factors] if atom.factors else atom.parts or []:
            yield from _indices(part)


def _pieces(label: Label, stride: int, at: Mapping[Atom, int]) -> list[_Piece]:
    """Return the pieces of a product whose last factor takes steps of a stride."""
    steps = [stride * size_of(label[i + 1 :]) for i in range(len(label))]
    each = [_of_atom(root(atom), step, at) for atom, step in zip(label, steps, strict=True)]
    return [
        (sum(start for start, _ in chosen), tuple(d for _, atoms in chosen for d in atoms))
        for chosen in product(*each)
    ]


def _of_atom(atom: Atom, stride: int, at: Mapping[Atom, int]) -> Sequence[_Piece]:
    if atom in at:
        return [(at[atom] * stride, ())]
    if atom.copies is not None:
        index, copies = atom.copies
        return _of_atom(root(copies[at[root(index)]]), stride, at)
    if atom.factors:
        return _pieces(atom.factors, stride, at)
    if atom.parts is None:
        return [(0, ((atom, atom.size, stride),))]
    found: list[_Piece] = []
    start = 0
    for part in atom.parts:
        found += [(start * stride + begin, dims) for begin, dims in _pieces(part, stride, at)]
        start += size_of(part)
    return found


def movable_share(axes: Axes) -> float:
    """Return the share of a tensor's numbers that some permutation moves."""
    whole = math.prod(map(size_of, axes))
    moved = 0
    for segment in segments(axes):
        if any(not each.atom.frozen for each in segment.dimensions):
            moved += math.prod(each.size for each in segment.dimensions)
    return moved / whole if whole else 0.0
