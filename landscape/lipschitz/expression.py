"""Values of a network as linear expressions in what its nonlinear operations give.

    expression = atom | piece · expression | expression + … | [expression, …]

Constants (biases, position embeddings) are left out: they do not change a Lipschitz constant.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from landscape.lipschitz.pieces import Piece, Shape, dense, fused, writable


@dataclass(eq=False, kw_only=True)
class Atom:
    """The input, or what a nonlinear operation gives: x ↦ u(x).

    Args:
        name: The operation and its module.
        shape: Of u.
        factor: Lipschitz constant of the operation, from `inner` to u.
        inner: What the operation is applied to; None for the input, whose constant is `factor`.
        slopes: α and β, one number or one per entry of u, where the operation is elementwise.
        device: Where it lives.
        pooled: Whether it commutes with a positive scaling of channels, as max-pooling does.
    """

    name: str
    shape: Shape
    factor: float
    device: torch.device
    inner: Expression | None = None
    slopes: tuple[Tensor, Tensor] | None = None
    pooled: bool = False

    @property
    def size(self) -> int:
        """Return how many numbers u is."""
        return math.prod(self.shape)


class Expression(ABC):
    """A linear map of some atoms together."""

    shape: Shape

    @cached_property
    def atoms(self) -> tuple[Atom, ...]:
        """Return the atoms, each once, in order."""
        return tuple(dict.fromkeys(self._atoms()))

    @abstractmethod
    def _atoms(self) -> list[Atom]: ...

    @abstractmethod
    def value(self, at: Mapping[Atom, Tensor]) -> Tensor:
        """Return the value for values of the atoms."""

    @cached_property
    def matrix(self) -> Tensor | None:
        """Return the matrix (outputs, entries of all atoms), where it is small; else None."""
        sizes = [atom.size for atom in self.atoms]
        if not sizes or not writable((math.prod(self.shape), sum(sizes))):
            return None

        def action(x: Tensor) -> Tensor:
            parts = x.split(sizes)
            at = {a: p.reshape(a.shape) for a, p in zip(self.atoms, parts, strict=True)}
            return self.value(at)

        return dense(action, (sum(sizes),), self.atoms[0].device)


class Leaf(Expression):
    """An atom."""

    def __init__(self, atom: Atom) -> None:
        self.atom = atom
        self.shape = atom.shape

    def _atoms(self) -> list[Atom]:
        return [self.atom]

    def value(self, at: Mapping[Atom, Tensor]) -> Tensor:
        """Return the atom's value."""
        return at[self.atom]


class Applied(Expression):
    """A piece applied to an expression."""

    def __init__(self, piece: Piece, inner: Expression) -> None:
        self.piece = piece
        self.inner = inner
        self.shape = piece.leaving

    def _atoms(self) -> list[Atom]:
        return list(self.inner.atoms)

    def value(self, at: Mapping[Atom, Tensor]) -> Tensor:
        """Return A x."""
        return self.piece.apply(self.inner.value(at))


class Sum(Expression):
    """A sum of expressions of one shape."""

    def __init__(self, parts: tuple[Expression, ...]) -> None:
        self.parts = parts
        self.shape = parts[0].shape

    def _atoms(self) -> list[Atom]:
        return [atom for part in self.parts for atom in part.atoms]

    def value(self, at: Mapping[Atom, Tensor]) -> Tensor:
        """Return the sum."""
        total = self.parts[0].value(at)
        for part in self.parts[1:]:
            total = total + part.value(at)
        return total


class Joined(Expression):
    """A concatenation along one axis, of expressions and of constants (given by their shapes)."""

    def __init__(self, parts: tuple[Expression | Shape, ...], axis: int, shape: Shape) -> None:
        self.parts = parts
        self.axis = axis
        self.shape = shape

    @property
    def varying(self) -> tuple[Expression, ...]:
        """Return the parts that are no constants."""
        return tuple(part for part in self.parts if isinstance(part, Expression))

    def _atoms(self) -> list[Atom]:
        return [atom for part in self.varying for atom in part.atoms]

    def value(self, at: Mapping[Atom, Tensor]) -> Tensor:
        """Return the concatenation, with zeros for constants."""
        known = [part.value(at) if isinstance(part, Expression) else None for part in self.parts]
        like = next(one for one in known if one is not None)
        filled = [
            one if one is not None else like.new_zeros(part)  # pyright: ignore[reportArgumentType, reportCallIssue]
            for one, part in zip(known, self.parts, strict=True)
        ]
        return torch.cat(filled, self.axis)


def applied(piece: Piece, inner: Expression) -> Expression:
    """Return a piece applied to an expression, made one with the piece before where possible."""
    if isinstance(inner, Applied) and (one := fused(piece, inner.piece)) is not None:
        return applied(one, inner.inner)
    return Applied(piece, inner)


def added(first: Expression, second: Expression) -> Expression:
    """Return a sum."""
    parts = [p for one in (first, second) for p in (one.parts if isinstance(one, Sum) else (one,))]
    return Sum(tuple(parts))
