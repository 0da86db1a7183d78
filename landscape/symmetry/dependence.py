"""Which permutations may differ from one index of another to the next: wreath products.

Every operation runs over a joint index space. Within it, the permutation of an inner atom may
depend on the index of an outer one where each occurrence of the inner has one occurrence of the
outer beside it; an inner that stands anywhere without the outer must be permuted alike.
"""

from __future__ import annotations

from collections.abc import Iterable

from landscape.symmetry.axes import Atom, Axes, within
from landscape.symmetry.segments import Segment, segments

Outers = dict[Atom, tuple[Atom, ...]]


def always_beside(inner: Atom, outer: Atom, joints: Iterable[Axes]) -> bool:
    """Return whether an atom occurs only where another is beside it."""
    return all(
        segment.beside(position, outer) is not None
        for axes in joints
        if any(inner in within(label) for label in axes)
        for segment in segments(axes)
        for position in segment.occurrences(inner)
    )


def outers(tensors: Iterable[Axes], joints: Iterable[Axes]) -> Outers:
    """Return, for each free atom of some tensors, the atoms that its permutation may depend on.

    Outer atoms stand to the left on an axis of a tensor, so that no two depend on one another.

    Args:
        tensors: The labels of the network's tensors.
        joints: The index spaces of all operations, and those of the tensors.
    """
    kept: dict[Atom, dict[Atom, None]] = {}
    for axes in tensors:
        for segment in segments(axes):
            _collect(segment, kept)
    for axes in joints:
        for segment in segments(axes):
            _strike(segment, kept)
    return _ordered({atom: list(found) for atom, found in kept.items()})


def _collect(segment: Segment, kept: dict[Atom, dict[Atom, None]]) -> None:
    free = [each for each in segment.dimensions if not each.atom.frozen]
    for i, inner in enumerate(free):
        mine = kept.setdefault(inner.atom, {})
        left = [each.atom for each in free[:i] if each.axis == inner.axis]
        mine.update(dict.fromkeys(atom for atom in left if atom is not inner.atom))


def _strike(segment: Segment, kept: dict[Atom, dict[Atom, None]]) -> None:
    for position, dimension in enumerate(segment.dimensions):
        for outer in list(kept.get(dimension.atom, ())):
            if segment.beside(position, outer) is None:
                del kept[dimension.atom][outer]


def _ordered(found: dict[Atom, list[Atom]]) -> Outers:
    """Return the relation without cycles, and closed: an outer's outers are outers."""
    chosen: dict[Atom, list[Atom]] = {atom: [] for atom in found}
    for inner, candidates in found.items():
        for outer in candidates:
            if inner not in _above(outer, chosen):
                chosen[inner].append(outer)
    changed = True
    while changed:
        changed = False
        for inner, mine in chosen.items():
            closed = [outer for outer in mine if set(chosen[outer]) <= set(mine)]
            changed |= closed != mine
            chosen[inner] = closed
    return {
        atom: tuple(sorted(mine, key=lambda o: len(chosen[o]))) for atom, mine in chosen.items()
    }


def _above(atom: Atom, chosen: dict[Atom, list[Atom]]) -> set[Atom]:
    found: set[Atom] = set()
    waiting = list(chosen.get(atom, ()))
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += chosen.get(one, ())
    return found
