"""The Lipschitz constant of an expression from above: the best of several ways to compose it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from landscape.lipschitz.chain import Chain
from landscape.lipschitz.expression import Applied, Atom, Expression, Joined, Leaf, Sum
from landscape.lipschitz.matrix import matrix_norm
from landscape.lipschitz.pieces import Convolve, Matrix, Piece
from landscape.lipschitz.rescaling import rescaled_product

WIDEST = 2048  # layer of a chain that is handed to `certify`
MARGIN = 1 + 1e-12  # for the rounding of sums and products of bounds

Certify = Callable[[str, Chain], float]


@dataclass(frozen=True)
class FoundChain:
    """A feed-forward part of the network, and what its certified constant multiplies."""

    name: str
    chain: Chain
    base: tuple[str, ...]  # the operations that it starts from
    upper: float  # of the chain alone


class Bounds:
    """Lipschitz constants from the network's input to its values.

    Args:
        certify: Gives the certified constant of a chain of matrices; None: products only.
        only: Nothing is computed, every constant is 1: to see which operations have rules.
    """

    def __init__(self, certify: Certify | None = None, *, idle: bool = False) -> None:
        self._certify = certify
        self._idle = idle
        self._known: dict[object, float] = {}
        self.chains: list[FoundChain] = []

    def of(self, expression: Expression) -> float:
        """Return an upper bound: of composed parts, of the whole matrix, and of chains."""
        return self._once(("of", expression), lambda: self._best(expression))

    def of_atom(self, atom: Atom) -> float:
        """Return an upper bound of what a nonlinear operation gives."""

        def found() -> float:
            if atom.inner is None:
                return atom.factor
            passes = atom.slopes is not None or atom.pooled
            inner = self._plain(atom.inner) if passes else self.of(atom.inner)
            return _times(atom.factor, inner)

        return self._once(("atom", atom), found)

    def row_norm(self, piece: Piece) -> float:
        """Return how much longer rows can become; ∞ where not known."""
        return 1.0 if self._idle and isinstance(piece, Matrix) else piece.row_norm

    def _once(self, key: object, compute: Callable[[], float]) -> float:
        if self._idle:
            return 1.0
        if key not in self._known:
            self._known[key] = compute() * MARGIN
        return self._known[key]

    def _best(self, expression: Expression) -> float:
        pieces = pieces_of(expression)
        found = self._rescaled(*pieces) if pieces is not None else math.inf
        if pieces is None or expression.matrix is not None:  # else the plain product is no smaller
            found = min(found, self._plain(expression))
        if not 0 < found < math.inf:
            return found
        return min(found, self._chained(expression))

    def _plain(self, expression: Expression) -> float:
        """Return products along pieces, sums at sums, roots of squares at concatenations."""
        return self._once(("plain", expression), lambda: self._composed(expression))

    def _composed(self, expression: Expression) -> float:
        match expression:
            case Leaf():
                return self.of_atom(expression.atom)
            case Applied():
                composed = _times(expression.piece.norm, self._plain(expression.inner))
            case Sum():
                composed = math.fsum(self.of(part) for part in expression.parts)
            case Joined():
                composed = math.hypot(*(self.of(part) for part in expression.varying))
            case _:
                raise TypeError(type(expression).__name__)
        return min(composed, self._whole(expression))

    def _whole(self, expression: Expression) -> float:
        """Return the bound by the matrix of the expression, atoms together or one by one."""
        single = isinstance(expression, Applied) and isinstance(expression.inner, Leaf)
        if single or expression.matrix is None:
            return math.inf
        constants = [self.of_atom(atom) for atom in expression.atoms]
        parts = expression.matrix.split([atom.size for atom in expression.atoms], 1)
        apart = math.fsum(
            _times(matrix_norm(part), one) for part, one in zip(parts, constants, strict=True)
        )
        if len(parts) == 1 or not all(0 < one < math.inf for one in constants):
            return apart
        return min(apart, matrix_norm(_weighed(parts, constants)))

    def _chained(self, expression: Expression) -> float:
        if self._certify is None:
            return math.inf
        layers = layers_of(expression)
        if layers is None:
            return math.inf
        weights, slopes, base = layers
        constants = [self.of_atom(atom) for atom in base]
        if not all(0 < one < math.inf for one in constants):
            return math.inf
        chain = Chain(
            weights=tuple(map(_array, weights)),
            slopes=tuple((_array(low), _array(high)) for low, high in slopes),
        )
        name = f"chain {len(self.chains) + 1}"
        upper = self._certify(name, chain)
        names = tuple(atom.name for atom in base)
        self.chains.append(FoundChain(name, chain, names, upper))
        return upper * math.hypot(*constants)

    def _rescaled(self, pieces: list[Convolve | Matrix], factor: float, base: Atom) -> float:
        return _times(rescaled_product(pieces) * factor, self.of_atom(base))


Layers = tuple[list[Tensor], list[tuple[Tensor, Tensor]], tuple[Atom, ...]]


def layers_of(expression: Expression) -> Layers | None:
    """Return the longest chain of matrices and slopes that ends in an expression, and its base.

    Matrices act on whole tensors where they are small, and on rows where every layer is a matrix
    on the last axis. Atoms that stand side by side (as in φ(x) + ψ(x)) are one layer. None: there
    is no chain with at least one activation.
    """
    whole, rows = _whole_layers(expression), _row_layers(expression)
    if whole is None or rows is None:
        return whole or rows
    return whole if len(whole[0]) > len(rows[0]) else rows  # rows are the smaller matrices


def _whole_layers(expression: Expression) -> Layers | None:
    atoms = expression.atoms
    if expression.matrix is None or not atoms:
        return None
    weights, slopes = [expression.matrix], list[tuple[Tensor, Tensor]]()
    while True:
        inners = [atom.inner for atom in atoms if atom.slopes is not None]
        entering = tuple(dict.fromkeys(a for one in inners if one is not None for a in one.atoms))
        if len(inners) < len(atoms) or any(one is None or one.matrix is None for one in inners):
            break
        columns = {atom: 0 for atom in entering}
        total = 0
        for atom in entering:
            columns[atom] = total
            total += atom.size
        if total > WIDEST:
            break
        rows = []
        for one in inners:
            if one is None or one.matrix is None:
                break
            row = one.matrix.new_zeros(one.matrix.shape[0], total)
            parts = one.matrix.split([atom.size for atom in one.atoms], 1)
            for atom, part in zip(one.atoms, parts, strict=True):
                row[:, columns[atom] : columns[atom] + atom.size] = part
            rows.append(row)
        weights.insert(0, torch.cat(rows))
        slopes.insert(0, _stacked(atoms))
        atoms = entering
    return (weights, slopes, atoms) if slopes else None


def _row_layers(expression: Expression) -> Layers | None:
    weights, slopes = list[Tensor](), list[tuple[Tensor, Tensor]]()
    at, base = expression, None
    while isinstance(at, Applied) and isinstance(at.piece, Matrix) and isinstance(at.inner, Leaf):
        atom = at.inner.atom
        weights.insert(0, at.piece.weight)
        if max(at.piece.weight.shape) > WIDEST:
            return None
        base, following = atom, atom.inner
        if not isinstance(following, Applied) or not isinstance(following.piece, Matrix):
            break
        if atom.slopes is None or not isinstance(following.inner, Leaf):
            break
        if any(one.numel() not in (1, atom.shape[-1]) for one in atom.slopes):
            break
        low, high = (one.reshape(-1).expand(atom.shape[-1]) for one in atom.slopes)
        slopes.insert(0, (low, high))
        at = following
    return (weights, slopes, (base,)) if slopes and base is not None else None


def pieces_of(expression: Expression) -> tuple[list[Convolve | Matrix], float, Atom] | None:
    """Return consecutive convolutions or matrices between which channels may be rescaled.

    Between them stand activations and max-pools only, whose constants are multiplied. None: there
    are fewer than two.
    """
    pieces, factor, at = list[Convolve | Matrix](), 1.0, expression
    base = None
    while isinstance(at, Applied) and isinstance(at.piece, Convolve | Matrix):
        if pieces and type(pieces[0]) is not type(at.piece):
            break
        if not isinstance(at.inner, Leaf):
            break
        pieces.insert(0, at.piece)
        base = at.inner.atom
        passed, inside = 1.0, base
        while inside.slopes is not None or inside.pooled:
            passed *= inside.factor
            if not isinstance(inside.inner, Leaf):
                break
            inside = inside.inner.atom
        if not (inside.slopes is not None or inside.pooled) or inside.inner is None:
            break
        following = inside.inner
        if not (isinstance(following, Applied) and isinstance(following.piece, type(at.piece))):
            break
        if not isinstance(following.inner, Leaf):
            break
        factor *= passed
        at = following
    return (pieces, factor, base) if len(pieces) > 1 and base is not None else None


def _stacked(atoms: Sequence[Atom]) -> tuple[Tensor, Tensor]:
    lows, highs = [], []
    for atom in atoms:
        if atom.slopes is None:
            raise ValueError(atom.name)
        low, high = (one.expand(atom.shape).reshape(-1) for one in atom.slopes)
        lows.append(low)
        highs.append(high)
    return torch.cat(lows), torch.cat(highs)


def _weighed(parts: Sequence[Tensor], constants: Sequence[float]) -> Tensor:
    """Return [A₁ c₁ …] √k: ‖Σ Aᵢ uᵢ‖ for ‖uᵢ‖ ≤ cᵢ, as ‖(uᵢ / cᵢ)‖ ≤ √k."""
    root = math.sqrt(len(parts))
    return torch.cat([p * (c * root) for p, c in zip(parts, constants, strict=True)], 1)


def _times(factor: float, constant: float) -> float:
    """Return a product in which zero wins."""
    return 0.0 if factor == 0 or constant == 0 else factor * constant


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().double().cpu().numpy()
