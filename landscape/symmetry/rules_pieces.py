"""Rules of operations that join axes and take pieces of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from landscape.symmetry.axes import (
    Atom,
    Axes,
    Label,
    cut,
    flat,
    fresh,
    joined,
    root,
    size_of,
)
from landscape.symmetry.dependence import always_beside
from landscape.symmetry.rules import Call, Walk, rule


@rule("cat", "concat", "concatenate")
def concatenate(walk: Walk, call: Call) -> Axes:
    """Join labels along one axis, and tie the others."""
    given = [walk.axes(each) for each in call["tensors"]]
    dim = (call["dim"] or 0) % max(map(len, given))
    given = [axes for axes in given if not _empty(axes, dim)] or given[-1:]
    _tie_others(walk, call, given, dim)
    along = joined([axes[dim] for axes in given])
    return (*given[0][:dim], along, *given[0][dim + 1 :])


@rule("hstack")
def hstack(walk: Walk, call: Call) -> Axes:
    """Join along the second axis, or the only one."""
    second = len(walk.axes(call["tensors"][0])) > 1
    return concatenate(walk, replace(call, arguments={**call.arguments, "dim": int(second)}))


@rule("glu")
def glu(walk: Walk, call: Call) -> Axes:
    """Tie the second half of an axis to the first."""
    axes = walk.axes(call["self"])
    dim = call["dim"] % len(axes)
    first, second = cut(axes[dim], [call.shape[dim]] * 2)
    walk.tie(call, first, second)
    return (*axes[:dim], first, *axes[dim + 1 :])


def _empty(axes: Axes, dim: int) -> bool:
    return size_of(axes[dim if len(axes) > dim else 0]) == 0


@rule("stack")
def stack(walk: Walk, call: Call) -> Axes:
    """Tie the tensors; their number is a frozen axis."""
    given = [walk.axes(each) for each in call["tensors"]]
    _tie_others(walk, call, given, None)
    dim = (call["dim"] or 0) % (len(given[0]) + 1)
    return (*given[0][:dim], fresh(len(given), call.where), *given[0][dim:])


def _tie_others(walk: Walk, call: Call, given: list[Axes], dim: int | None) -> None:
    for axes in given[1:]:
        for i, label in enumerate(axes):
            if i != dim:
                walk.tie(call, given[0][i], label)


@rule("chunk", "split", "split_with_sizes", "tensor_split", "unsafe_split", "unsafe_chunk")
def split(walk: Walk, call: Call) -> list[Axes]:
    """Cut an axis into consecutive pieces."""
    axes = walk.axes(call["self"])
    dim = (call["dim"] or 0) % len(axes)
    pieces = cut(axes[dim], [shape[dim] for shape in call.shape])
    for i, piece in enumerate(pieces):
        walk.piece(call, piece, used=i in call.used)
    return [(*axes[:dim], piece, *axes[dim + 1 :]) for piece in pieces]


@rule("slice", "narrow")
def slice_(walk: Walk, call: Call) -> Axes:
    """Cut a piece out of an axis."""
    axes = walk.axes(call["self"])
    dim = (call["dim"] or 0) % len(axes)
    whole, kept = size_of(axes[dim]), call.shape[dim]
    if kept == whole:
        return axes
    if kept == 0:
        return (*axes[:dim], fresh(0), *axes[dim + 1 :])
    if not isinstance(call["start"], int | None) or (call["step"] or 1) != 1:
        walk.freeze(call, [axes[dim]])
        return (*axes[:dim], fresh(kept, call.where), *axes[dim + 1 :])
    start = call["start"] or 0
    start = min(start + whole if start < 0 else start, whole)
    lengths = [start, kept, whole - start - kept]
    pieces = cut(axes[dim], [length for length in lengths if length])
    piece = pieces.pop(1 if start else 0)
    walk.piece(call, piece, used=bool(call.used))
    for other in pieces:
        walk.piece(call, other, used=False)
    return (*axes[:dim], piece, *axes[dim + 1 :])


@rule("select")
def select(walk: Walk, call: Call) -> Axes:
    """Take one index of an axis."""
    return _selected(walk, call, [call["index"]], used=call.used)[0]


@rule("unbind")
def unbind(walk: Walk, call: Call) -> list[Axes]:
    """Take every index of an axis."""
    return _selected(walk, call, list(range(len(call.shape))), used=call.used)


def _selected(walk: Walk, call: Call, indices: list[int], used: Collection[int]) -> list[Axes]:
    """Return the rest of the axes at some indices of one, where each index has its own atoms.

    Args:
        walk: The state.
        call: The operation.
        indices: Of the outputs.
        used: Which outputs are.
    """
    axes = walk.axes(call["self"])
    dim = (call["dim"] or 0) % len(axes)
    rest = (*axes[:dim], *axes[dim + 1 :])
    atoms = flat(axes[dim])
    walk.freeze(call, [axes[dim]])
    if len(atoms) != 1 or root(atoms[0]).parts:
        return [rest for _ in indices]
    index = root(atoms[0])
    present = dict.fromkeys(root(atom) for label in rest for atom in flat(label))
    for atom in [atom for atom in present if _separable(walk, atom, index)]:
        atom.copies = (index, [Atom(atom.size) for _ in range(index.size)])
        for copy in atom.copies[1]:
            copy.ties.update(atom.ties)
    taken = {indices[i] % index.size for i in used}
    for i in range(index.size):
        for label in rest:
            walk.piece(call, _at(label, index, i), used=i in taken)
    return [tuple(_at(label, index, i % index.size) for label in rest) for i in indices]


def _separable(walk: Walk, atom: Atom, index: Atom) -> bool:
    """Return whether an atom may be permuted differently at each index of another."""
    plain = not (atom.frozen or atom.parts or atom.copies)
    return plain and always_beside(atom, index, walk.joints)


def _at(label: Label, index: Atom, i: int) -> Label:
    found: list[Atom] = []
    for atom in map(root, flat(label)):
        mine = atom.copies is not None and root(atom.copies[0]) is index
        found.append(atom.copies[1][i] if mine and atom.copies else atom)
    return tuple(found)
