"""Rules of operations that join axes and take pieces of them."""

from __future__ import annotations

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
    given = [axes for axes in given if not (len(axes) == 1 and size_of(axes[0]) == 0)]
    dim = (call["dim"] or 0) % len(given[0])
    _tie_others(walk, call, given, dim)
    along = joined([axes[dim] for axes in given])
    return (*given[0][:dim], along, *given[0][dim + 1 :])


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
    return [(*axes[:dim], piece, *axes[dim + 1 :]) for piece in pieces]


@rule("slice", "narrow")
def slice_(walk: Walk, call: Call) -> Axes:
    """Cut a piece out of an axis."""
    axes = walk.axes(call["self"])
    dim = (call["dim"] or 0) % len(axes)
    whole, kept = size_of(axes[dim]), call.shape[dim]
    if kept == whole:
        return axes
    if not isinstance(call["start"], int | None) or (call["step"] or 1) != 1 or kept == 0:
        walk.freeze(call, [axes[dim]])
        return (*axes[:dim], fresh(kept, call.where), *axes[dim + 1 :])
    start = call["start"] or 0
    start = min(start + whole if start < 0 else start, whole)
    lengths = [start, kept, whole - start - kept]
    pieces = cut(axes[dim], [length for length in lengths if length])
    piece = pieces.pop(1 if start else 0)
    walk.kept.append(piece)
    walk.left += [] if call.varying else pieces
    return (*axes[:dim], piece, *axes[dim + 1 :])


@rule("select")
def select(walk: Walk, call: Call) -> Axes:
    """Take one index of an axis."""
    return _selected(walk, call, [call["index"]])[0]


@rule("unbind")
def unbind(walk: Walk, call: Call) -> list[Axes]:
    """Take every index of an axis."""
    return _selected(walk, call, list(range(len(call.shape))))


def _selected(walk: Walk, call: Call, indices: list[int]) -> list[Axes]:
    """Return the rest of the axes at some indices of one, where each index has its own atoms."""
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
