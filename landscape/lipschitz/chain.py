"""A feed-forward chain of matrices with slope-restricted activations between them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from landscape.errors import ModelError, NumericalError

UNIT = 2.0**-53  # rounding of one operation in float64
Slope = float | np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Chain:
    """The map x ↦ W_L φ_{L−1}(… φ_1(W_1 x + b_1) …) + b_L, as far as Lipschitz bounds see it.

    Args:
        weights: W_1 … W_L, float64; (n_l, n_{l−1}).
        slopes: (α_l, β_l) for each of the L − 1 activations: every difference quotient of φ_l lies
            between them. Numbers, or one for each neuron (n_l,).
        names: Of the layers; empty: numbered.

    Biases do not enter: difference quotients do not see them.

    Raises:
        ModelError: Shapes or slopes do not fit.
        NumericalError: A weight or slope is not finite.
    """

    weights: tuple[np.ndarray, ...]
    slopes: tuple[tuple[Slope, Slope], ...]
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        weights = tuple(np.ascontiguousarray(w, dtype=np.float64) for w in self.weights)
        object.__setattr__(self, "weights", weights)
        if not self.names:
            object.__setattr__(self, "names", tuple(str(n + 1) for n in range(len(weights))))
        self._check_shapes()
        for name, found in zip(self.names, weights, strict=True):
            _check_finite(f"the weights of layer {name}", found)
        for name, low, high in zip(self.names, self.alphas, self.betas, strict=False):
            _check_finite(f"a slope of the activation after layer {name}", low, high)
            if (low > high).any():
                raise _misfit(f"after layer {name} the slope's lower end exceeds the upper")

    @cached_property
    def alphas(self) -> tuple[np.ndarray, ...]:  # (n_l,) each
        """Return the least slopes, one for each neuron."""
        return self._ends(0)

    @cached_property
    def betas(self) -> tuple[np.ndarray, ...]:  # (n_l,) each
        """Return the largest slopes, one for each neuron."""
        return self._ends(1)

    @property
    def steepest(self) -> tuple[np.ndarray, ...]:  # (n_l,) each
        """Return the Lipschitz constants of the activations, neuron by neuron."""
        ends = zip(self.alphas, self.betas, strict=True)
        return tuple(np.maximum(np.abs(low), np.abs(high)) for low, high in ends)

    @property
    def widths(self) -> tuple[int, ...]:
        """Return n_0 … n_L."""
        return (self.weights[0].shape[1], *(len(w) for w in self.weights))

    @cached_property
    def digest(self) -> str:
        """Return a hash of weights and slopes."""
        digest = hashlib.sha256()
        for array in (*self.weights, *self.alphas, *self.betas):
            digest.update(f"{array.shape}".encode() + array.astype("<f8").tobytes())
        return digest.hexdigest()

    def scaled(self, exponents: Sequence[int]) -> Chain:
        """Return the chain with each W_l divided by a power of two: exact.

        Every bound used here is linear in each W_l, so it is divided by all of them.
        """
        pairs = zip(self.weights, exponents, strict=True)
        weights = tuple(np.ldexp(w, -exponent) for w, exponent in pairs)
        return Chain(weights=weights, slopes=self.slopes, names=self.names)

    def exponents(self) -> tuple[int, ...]:
        """Return the powers of two nearest to the layers' norms."""
        norms = (math.sqrt(float(np.square(_unit(w)).sum())) * _size(w) for w in self.weights)
        return tuple(round(math.log2(norm)) if norm > 0 else 0 for norm in norms)

    def product(self) -> float:
        """Return Π_l ‖diag(κ_l) W_l‖₂ from above, κ_l the steepest slopes; rounding is added.

        Cost: eigenvalues of one Gram matrix for each layer.
        """
        return math.prod(layer_norms(self))

    def _ends(self, which: int) -> tuple[np.ndarray, ...]:
        hidden = self.widths[1:-1]
        pairs = zip(self.slopes, hidden, strict=True)
        return tuple(np.broadcast_to(np.float64(pair[which]), (width,)) for pair, width in pairs)

    def _check_shapes(self) -> None:
        weights = self.weights
        if not weights or any(w.ndim != 2 or 0 in w.shape for w in weights):
            raise _misfit("every layer is a matrix with rows and columns")
        if len(self.slopes) != len(weights) - 1 or len(self.names) != len(weights):
            raise _misfit(
                f"{len(weights)} layers go with {len(weights) - 1} activations, "
                f"not with {len(self.slopes)}, and with as many names, not with {len(self.names)}"
            )
        for before, after in pairwise(weights):
            if after.shape[1] != len(before):
                raise _misfit(f"{len(before)} outputs are followed by {after.shape[1]} inputs")
        for slopes, width in zip(self.slopes, self.widths[1:-1], strict=True):
            if any(np.shape(slope) not in ((), (width,)) for slope in slopes):
                raise _misfit(f"{width} neurons have one slope, or one each")


def layer_norms(chain: Chain) -> tuple[float, ...]:
    """Return ‖diag(κ_l) W_l‖₂ for each layer (κ_L = 1), each from above.

    Columns that take in neurons whose slope is zero do not count.
    """
    rows = (*chain.steepest, np.ones(chain.widths[-1]))
    columns = (np.ones(chain.widths[0]), *chain.steepest)
    layers = zip(chain.weights, rows, columns, strict=True)
    return tuple(_norm(w[:, column > 0] * row[:, None]) for w, row, column in layers)


def _norm(matrix: np.ndarray) -> float:
    """Return ‖A‖₂ from above.

    λ_max of the computed Gram matrix errs by at most a few γ_{m+n} ‖A‖_F² (Higham 2002, §3.5, and
    the backward stability of the symmetric eigenvalue problem).
    """
    if not matrix.any():
        return 0.0
    unit, size = _unit(matrix), _size(matrix)
    gram = unit @ unit.T if len(unit) <= unit.shape[1] else unit.T @ unit
    square = float(np.linalg.eigvalsh(gram)[-1])
    doubt = 8 * sum(matrix.shape) * UNIT * float(np.trace(gram))
    return math.nextafter(math.sqrt(max(square, 0.0) + doubt) * (1 + 4 * UNIT), math.inf) * size


def _size(matrix: np.ndarray) -> float:
    """Return a power of two near the largest entry; 1 for zero."""
    largest = float(np.abs(matrix).max())
    return 2.0 ** round(math.log2(largest)) if largest > 0 else 1.0


def _unit(matrix: np.ndarray) -> np.ndarray:
    return matrix / _size(matrix)


def _check_finite(what: str, *arrays: np.ndarray) -> None:
    if not all(np.isfinite(array).all() for array in arrays):
        raise NumericalError(
            f"{what} is not finite",
            where="chain",
            why="no bound holds for it",
            hint="run `landscape weights` on the file, and go back to an earlier checkpoint",
        )


def _misfit(why: str) -> ModelError:
    return ModelError(
        "the layers do not form a chain",
        where="chain",
        why=why,
        hint="give the matrices in the order of the forward pass, with one activation between two",
    )
