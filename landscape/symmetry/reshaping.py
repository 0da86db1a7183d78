"""Axes of a tensor in another shape."""

from __future__ import annotations

import math
from collections.abc import Sequence

from landscape.symmetry.axes import Atom, Axes, Label, flat, freeze, fresh, root, size_of, split


def reshaped(axes: Sequence[Label], shape: Sequence[int]) -> Axes:
    """Return the labels of a tensor in another shape."""
    done: list[Label] = []
    for labels, lengths in _runs(axes, shape):
        done += _aligned(flat(atom for label in labels for atom in label), lengths)
    return tuple(done)


def _runs(axes: Sequence[Label], shape: Sequence[int]) -> list[tuple[list[Label], list[int]]]:
    """Return the shortest runs of axes that become runs of new axes."""
    runs: list[tuple[list[Label], list[int]]] = []
    old, new = list(axes), list(shape)
    while old or new:
        labels, lengths = old[:1], new[:1]
        old, new = old[1:], new[1:]
        while (have := size_of(a for label in labels for a in label)) != math.prod(lengths):
            if have < math.prod(lengths):
                labels.append(old.pop(0))
            else:
                lengths.append(new.pop(0))
        runs.append((labels, lengths))
    return runs


def _aligned(atoms: list[Atom], lengths: Sequence[int]) -> list[Label]:
    waiting, done = list(atoms), []
    for length in lengths:
        found, need = [], length
        while need > 1:
            atom = root(waiting[0])
            if atom.factors:
                waiting[:1] = flat((atom,))
            elif need % atom.size == 0:
                found.append(atom)
                need //= atom.size
                waiting = waiting[1:]
            elif atom.size % need == 0:
                split(atom, need)
            else:
                reason = "reshaped into lengths that do not divide it"
                freeze(atoms, reason)
                return [fresh(each, reason) for each in lengths]
        done.append(tuple(found))
    return done
