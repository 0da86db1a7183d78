"""Axes of tensors as products and concatenations of atoms: sets of things permuted alike.

An axis carries a label: a tuple of atoms, whose product it runs over in row-major order. An atom
stands for one unknown permutation. It is found to be a product (after a reshape), a concatenation
(after a cat or a split), the same as another (union-find), or frozen. What cannot be expressed is
frozen: an atom never claims more freedom than there is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

Label = tuple["Atom", ...]
Axes = tuple[Label, ...]


class Atom:
    """A set that one permutation acts on."""

    __slots__ = ("copies", "factors", "parent", "parts", "reason", "size", "ties")

    def __init__(self, size: int, reason: str | None = None) -> None:
        self.size = size
        self.reason = reason  # why it is frozen; None: it is free
        self.parent: Atom | None = None
        self.factors: Label | None = None
        self.parts: list[Label] | None = None
        self.copies: tuple[Atom, list[Atom]] | None = None  # one for each index of another atom
        self.ties: dict[str, None] = {}  # the operations that tied it to others, in order

    @property
    def frozen(self) -> bool:
        """Return whether nothing of it may move."""
        return self.reason is not None


def fresh(size: int, reason: str | None = None) -> Label:
    """Return a new label; an axis of length one has the empty one."""
    return () if size == 1 else (Atom(size, reason),)


def root(atom: Atom) -> Atom:
    """Return what the atom has been found to be the same as."""
    while atom.parent is not None:
        atom = atom.parent
    return atom


def flat(label: Iterable[Atom]) -> list[Atom]:
    """Return a label's atoms with products written out."""
    found: list[Atom] = []
    for atom in map(root, label):
        found += flat(atom.factors) if atom.factors else [atom]
    return found


def leaves(label: Iterable[Atom]) -> list[Atom]:
    """Return a label's atoms with products, concatenations and copies written out."""
    found: list[Atom] = []
    for atom in flat(label):
        parts = [*(atom.parts or []), *([atom.copies[1]] if atom.copies else [])]
        found += [leaf for part in parts for leaf in leaves(part)] if parts else [atom]
    return found


def within(label: Iterable[Atom]) -> list[Atom]:
    """Return a label's atoms, those that they are made of, and their copies."""
    found: list[Atom] = []
    for atom in map(root, label):
        found.append(atom)
        copies = [atom.copies[1]] if atom.copies else []
        for part in [*([atom.factors] if atom.factors else []), *(atom.parts or []), *copies]:
            found += within(part)
    return found


def size_of(label: Iterable[Atom]) -> int:
    """Return the length of an axis."""
    return math.prod(root(atom).size for atom in label)


def freeze(label: Iterable[Atom], reason: str) -> None:
    """Freeze everything in a label; the first reason stays."""
    for atom in map(root, label):
        if atom.frozen:
            continue
        atom.reason = reason
        freeze(atom.factors or (), reason)
        for part in atom.parts or []:
            freeze(part, reason)
        freeze(atom.copies[1] if atom.copies else (), reason)


def freeze_all(axes: Iterable[Label], reason: str) -> None:
    """Freeze every axis."""
    for label in axes:
        freeze(label, reason)


def settle(atom: Atom) -> None:
    """Make the copies of an atom the same again."""
    atom = root(atom)
    if atom.copies is not None:
        _, copies = atom.copies
        atom.copies = None
        for copy in copies:
            merge(atom, copy)


def merge(first: Atom, second: Atom, tie: str | None = None) -> None:
    """Make two atoms of one size the same."""
    a, b = root(first), root(second)
    if tie is not None:
        a.ties[tie] = b.ties[tie] = None
    if a is b:
        return
    if _copied_alike(a, b):
        for one, other in zip(a.copies[1], b.copies[1], strict=True):  # pyright: ignore[reportOptionalSubscript]
            merge(one, other, tie)
    else:
        settle(a)
        settle(b)
        a, b = root(a), root(b)
    if a is b:
        return
    if a.frozen or b.frozen:
        freeze((a, b), a.reason or b.reason or "")
    _reconcile(a, b, tie)
    a, b = root(a), root(b)
    if a is not b:
        b.parent = a
        a.factors, a.parts = a.factors or b.factors, a.parts or b.parts
        a.ties.update(b.ties)


def _copied_alike(a: Atom, b: Atom) -> bool:
    return bool(a.copies and b.copies and root(a.copies[0]) is root(b.copies[0]))


def _reconcile(a: Atom, b: Atom, tie: str | None) -> None:
    """Make the structures of two atoms the same, or freeze them."""
    if a.factors and b.factors:
        unify(a.factors, b.factors, tie)
    elif a.parts and b.parts:
        sizes = {*_ends(a.parts), *_ends(b.parts)}
        lengths = _lengths(sorted(sizes))
        for one, other in zip(cut((a,), lengths), cut((b,), lengths), strict=True):
            unify(one, other, tie)
    elif (a.factors or b.factors) and (a.parts or b.parts):
        freeze((a, b), "a product on one side, a concatenation on the other")


def unify(first: Iterable[Atom], second: Iterable[Atom], tie: str | None = None) -> None:
    """Make two labels of one length the same."""
    left, right = flat(first), flat(second)
    while left and right:
        a, b = root(left[0]), root(right[0])
        if a.factors:
            left[:1] = flat((a,))
        elif b.factors:
            right[:1] = flat((b,))
        elif a.size == b.size:
            merge(a, b, tie)
            left, right = left[1:], right[1:]
        elif a.size % b.size == 0:
            split(a, b.size)
        elif b.size % a.size == 0:
            split(b, a.size)
        else:
            break
    freeze([*left, *right], "its factors do not fit together")


def split(atom: Atom, outer: int) -> None:
    """Write an atom as a product of two."""
    settle(atom)
    atom = root(atom)
    if atom.factors:
        return
    if atom.parts:
        freeze((atom,), "a concatenation reshaped")
        atom.parts = None
    inner = atom.size // outer
    atom.factors = (Atom(outer, atom.reason), Atom(inner, atom.reason))


def joined(labels: Sequence[Label]) -> Label:
    """Return the label of a concatenation."""
    if len(labels) == 1:
        return labels[0]
    atom = Atom(sum(map(size_of, labels)))
    parts = [part for label in labels for part in _parts(label)]
    atom.parts = parts
    return (atom,)


def _parts(label: Label) -> list[Label]:
    only = root(label[0]) if len(label) == 1 else None
    return only.parts if only is not None and only.parts else [label]


def cut(label: Label, lengths: Sequence[int]) -> list[Label]:
    """Return the labels of consecutive pieces of an axis."""
    if len(lengths) == 1:
        return [label]
    atoms = flat(label)
    if len(atoms) != 1:
        return _cut_product(atoms, lengths)
    atom = root(atoms[0])
    settle(atom)
    atom = root(atom)
    if atom.parts is None:
        atom.parts = [fresh(length, atom.reason) for length in lengths]
        return list(atom.parts)
    _refine(atom, lengths)
    return _grouped(atom.parts, lengths)


def _cut_product(atoms: list[Atom], lengths: Sequence[int]) -> list[Label]:
    inner = size_of(atoms[1:])
    if atoms and all(length % inner == 0 for length in lengths):
        pieces = cut((atoms[0],), [length // inner for length in lengths])
        return [(*piece, *atoms[1:]) for piece in pieces]
    reason = "cut across a product"
    freeze(atoms, reason)
    return [fresh(length, reason) for length in lengths]


def _refine(atom: Atom, lengths: Sequence[int]) -> None:
    """Cut the parts of a concatenation where a piece ends inside one."""
    parts = atom.parts or []
    ends = sorted({*_ends(parts), *_running(lengths)})
    refined: list[Label] = []
    start = 0
    for part in parts:
        stop = start + size_of(part)
        inside = [start, *(end for end in ends if start < end <= stop)]
        refined += cut(part, _lengths(inside[1:], start))
        start = stop
    atom.parts = refined


def _grouped(parts: list[Label], lengths: Sequence[int]) -> list[Label]:
    waiting, pieces = list(parts), []
    for length in lengths:
        found: list[Label] = []
        while sum(map(size_of, found)) < length:
            found.append(waiting.pop(0))
        pieces.append(joined(found))
    return pieces


def _ends(parts: Iterable[Label]) -> list[int]:
    return _running([size_of(part) for part in parts])


def _running(lengths: Iterable[int]) -> list[int]:
    total, ends = 0, []
    for length in lengths:
        total += length
        ends.append(total)
    return ends


def _lengths(ends: Sequence[int], start: int = 0) -> list[int]:
    return [stop - begin for begin, stop in zip([start, *ends], ends, strict=False)]
