"""Rectangular pieces of a tensor in which every dimension is one atom."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from landscape.symmetry.axes import Atom, Axes, flat, root, size_of


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
    """Yield the pieces of a tensor, which cover it once.

    There is one for each choice of a part of every concatenation, and in it, where an atom has
    copies, one for each index of the atom that tells which copy is meant.

    Raises:
        ValueError: That atom is not in the piece once.
    """
    for chosen in product(*(_pieces(label, 1) for label in axes)):
        for pieces in _resolved(chosen):
            dimensions = (
                Dimension(atom, size, stride, axis)
                for axis, (_, atoms) in enumerate(pieces)
                for atom, size, stride in atoms
            )
            yield Segment(tuple(start for start, _ in pieces), tuple(dimensions))


def _pieces(label: Iterable[Atom], stride: int) -> list[_Piece]:
    """Return the pieces of a product whose last factor takes steps of a stride."""
    atoms = list(label)
    steps = [stride * size_of(atoms[i + 1 :]) for i in range(len(atoms))]
    each = [_of_atom(root(atom), step) for atom, step in zip(atoms, steps, strict=True)]
    return [
        (sum(start for start, _ in chosen), tuple(d for _, dims in chosen for d in dims))
        for chosen in product(*each)
    ]


def _of_atom(atom: Atom, stride: int) -> list[_Piece]:
    if atom.factors:
        return _pieces(atom.factors, stride)
    if atom.parts is None:
        return [(0, ((atom, atom.size, stride),))]
    found: list[_Piece] = []
    start = 0
    for part in atom.parts:
        found += [(start * stride + begin, dims) for begin, dims in _pieces(part, stride)]
        start += size_of(part)
    return found


def _resolved(pieces: Sequence[_Piece]) -> Iterator[Sequence[_Piece]]:
    """Yield the pieces, one on each axis, that copies make of some."""
    dims = [atom for _, atoms in pieces for atom, _, _ in atoms]
    index = next((root(atom.copies[0]) for atom in dims if atom.copies is not None), None)
    if index is None:
        yield pieces
        return
    digits = flat((index,))
    if any(dims.count(digit) != 1 for digit in digits):
        raise ValueError("copies without the one index that tells which is meant")
    for number, values in enumerate(product(*(range(digit.size) for digit in digits))):
        at = dict(zip(digits, values, strict=True))
        for chosen in product(*(_at(piece, index, number, at) for piece in pieces)):
            yield from _resolved(chosen)


def _at(piece: _Piece, index: Atom, number: int, at: Mapping[Atom, int]) -> list[_Piece]:
    """Return the pieces that one becomes where an index has a value."""
    start, dims = piece
    options: list[list[_Piece]] = []
    for atom, size, stride in dims:
        if atom in at:
            options.append([(at[atom] * stride, ())])
        elif atom.copies is not None and root(atom.copies[0]) is index:
            options.append(_pieces((atom.copies[1][number],), stride))
        else:
            options.append([(0, ((atom, size, stride),))])
    return [
        (start + sum(begin for begin, _ in chosen), tuple(d for _, dims in chosen for d in dims))
        for chosen in product(*options)
    ]


def movable_share(axes: Axes) -> float:
    """Return the share of a tensor's numbers that some permutation moves."""
    whole = math.prod(map(size_of, axes))
    moved = 0
    for segment in segments(axes):
        if any(not each.atom.frozen for each in segment.dimensions):
            moved += math.prod(each.size for each in segment.dimensions)
    return moved / whole if whole else 0.0
