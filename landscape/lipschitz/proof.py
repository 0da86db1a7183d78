"""Whether multipliers prove a bound: a check in float64 that accounts for every rounding."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cholesky, solve_triangular

from landscape.lipschitz.chain import UNIT, Chain

ROOM = 16  # shift over what rounding is expected to take


@dataclass(frozen=True, kw_only=True)
class Proof:
    """An upper bound of a chain's Lipschitz constant that was proved.

    Args:
        upper: The bound.
        pivot: The least squared pivot of the Cholesky factor of the scaled LMI, after the shift.
        shift: What was taken off the diagonal first.
        rounding: What rounding can have done, in the same scale; less than the shift.
    """

    upper: float
    pivot: float
    shift: float
    rounding: float


@np.errstate(all="ignore")  # what is not finite is no proof
def prove(
    chain: Chain,
    multipliers: Sequence[np.ndarray],
    upper: float,
    *,
    exponents: Sequence[int],
) -> Proof | None:
    """Return the proof that a chain is Lipschitz with constant `upper`; None where there is none.

    With ρ = upper², the block-tridiagonal matrix K with

        diagonal  I + W_1ᵀ P_1 Λ_1 W_1, …, Λ_l + W_{l+1}ᵀ P_{l+1} Λ_{l+1} W_{l+1}, …, Λ_{L−1}, ρ I
        below     −M_1 Λ_1 W_1, …, −M_{L−1} Λ_{L−1} W_{L−1}, W_L

    must be positive semi-definite. K is scaled by powers of two to a diagonal near 1 (exact), and a
    factor with K − c I = C Cᵀ + R is computed; then λ_min(K) ≥ c − ‖R‖. ‖R‖_F is computed from the
    factor, whichever way that was found, and what rounding adds while K and R are formed is bounded
    a priori: γ_k = k u / (1 − k u) for sums of k terms (Higham 2002, §3.5). The proof holds if all
    of that is less than c. It trusts IEEE float64 and sums of products in any order, and no more.

    Args:
        chain: Rebuilt from the network's weights.
        multipliers: λ_l ≥ 0 for each activation, (n_l,), of the scaled chain.
        upper: The bound to prove.
        exponents: Of the powers of two that the layers were divided by.

    Cost: three products of n_l × n_l and a Cholesky factor for each layer.

    Source: Fazlyab et al. 2019, arXiv 1906.04893, theorem 2; Rump 2006, BIT 46, 433–452, for
    positive definiteness by a shifted factor.
    """
    scaled = _exactly_scaled(chain, exponents)
    bound = float(np.ldexp(upper, -sum(exponents)))
    square = math.nextafter(bound * bound, 0.0) if math.isfinite(bound) and bound > 0 else 0.0
    fair = all(np.isfinite(one).all() and (one >= 0).all() for one in multipliers)
    if scaled is None or not fair or not 0 < square < math.inf:
        return None
    rows = list(_rows(scaled, multipliers, square))
    if not all((row.pivots > 0).all() for row in rows):
        return None
    rows = _scaled(rows)
    terms = 2 * max(chain.widths) + 16
    gamma = terms * UNIT / (1 - terms * UNIT)
    size = sum(row.size for row in rows)
    shift = ROOM * gamma * size
    found = _factored(rows, shift)
    if found is None:
        return None
    squares = found.squares + shift * sum(chain.widths)
    rounding = 1.001 * found.residual + 3 * gamma * (size + squares)
    if not rounding < shift:
        return None
    return Proof(upper=upper, pivot=found.pivot, shift=shift, rounding=rounding)


def _exactly_scaled(chain: Chain, exponents: Sequence[int]) -> Chain | None:
    """Return the chain over powers of two; None where a weight overflows or loses a digit."""
    there = [np.ldexp(w, -e) for w, e in zip(chain.weights, exponents, strict=True)]
    back = [np.ldexp(w, e) for w, e in zip(there, exponents, strict=True)]
    pairs = zip(back, chain.weights, strict=True)
    same = all(np.array_equal(*pair) for pair in pairs)
    return chain.scaled(exponents) if same and all(np.isfinite(w).all() for w in there) else None


@dataclass(frozen=True)
class _Row:
    """A block row of K."""

    diagonal: np.ndarray  # (n_l, n_l), or (n_l,) where the block is diagonal
    below: np.ndarray  # (n_l, n_{l−1}), what stands to the left; (n_0, 0) in the first row
    terms: np.ndarray  # (n_l,) sums of the absolute values that make up the diagonal

    @property
    def pivots(self) -> np.ndarray:  # (n_l,)
        """Return the entries on the diagonal."""
        return _diagonal(self.diagonal)

    @property
    def size(self) -> float:
        """Return a bound of the norm of |terms| that the block row and its mirror are made of."""
        return float(self.terms.sum()) + 2 * float(np.linalg.norm(self.below))


def _rows(chain: Chain, multipliers: Sequence[np.ndarray], square: float) -> Iterator[_Row]:
    """Yield the block rows of K."""
    own = [np.ones(chain.widths[0]), *multipliers, np.full(chain.widths[-1], square)]
    below = np.zeros((chain.widths[0], 0))
    for layer, weight in enumerate(chain.weights):
        diagonal = terms = own[layer]
        after = weight
        if layer < len(multipliers):
            low, high = chain.alphas[layer], chain.betas[layer]
            product = low * high * multipliers[layer]
            after = -((low + high) / 2 * multipliers[layer])[:, None] * weight
            if product.any():
                diagonal = np.diag(diagonal) + weight.T @ (product[:, None] * weight)
                terms = terms + (np.abs(product)[:, None] * np.square(weight)).sum(0)
        yield _Row(diagonal, below, terms)
        below = after
    yield _Row(own[-1], below, own[-1])


def _scaled(rows: Sequence[_Row]) -> list[_Row]:
    """Return S K S with powers of two S that bring the diagonal near 1."""
    found, before = [], np.ones(0)
    for row in rows:
        scale = np.exp2(-np.round(np.log2(row.pivots) / 2))
        both = scale if row.diagonal.ndim == 1 else scale[:, None]
        found.append(
            _Row(
                row.diagonal * both * scale,
                row.below * scale[:, None] * before,
                row.terms * scale**2,
            )
        )
        before = scale
    return found


@dataclass(frozen=True)
class _Factor:
    """What is known of a factor C of K − c I."""

    residual: float  # ‖K − c I − C Cᵀ‖_F
    squares: float  # ‖C‖_F²
    pivot: float  # least squared entry on the diagonal of C


def _factored(rows: Sequence[_Row], shift: float) -> _Factor | None:
    """Return what a block Cholesky factor leaves; None where it breaks down."""
    factor = np.zeros(0)
    residual = squares = 0.0
    pivot = math.inf
    for row in rows:
        left = _over(row.below, factor)
        residual += 2 * _sum_of_squares(row.below - _times(left, factor))
        block = _left_over(row.diagonal, shift, left)
        try:
            factor = _cholesky(block)
        except LinAlgError:
            return None
        residual += _sum_of_squares(block - _times(factor, factor))
        squares += _sum_of_squares(factor) + _sum_of_squares(left)
        pivot = min(pivot, float(np.square(_diagonal(factor)).min()))
    return _Factor(math.sqrt(residual), squares, pivot)


def _left_over(diagonal: np.ndarray, shift: float, left: np.ndarray) -> np.ndarray:
    """Return D − c I − B Bᵀ; a vector stands for a diagonal matrix as long as it can."""
    if diagonal.ndim == 1:
        diagonal = diagonal - shift
        return np.diag(diagonal) - left @ left.T if left.size else diagonal
    diagonal = diagonal - shift * np.eye(len(diagonal))
    return diagonal - left @ left.T if left.size else diagonal


def _cholesky(matrix: np.ndarray) -> np.ndarray:
    if matrix.ndim == 2:
        return cholesky(matrix, lower=True, check_finite=False)
    if not (matrix > 0).all():
        raise LinAlgError
    return np.sqrt(matrix)


def _over(below: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Return B = E C⁻ᵀ."""
    if factor.ndim == 1:
        return below / factor
    return solve_triangular(factor, below.T, lower=True, check_finite=False).T


def _times(left: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Return B Cᵀ."""
    return left * factor if factor.ndim == 1 else left @ factor.T


def _diagonal(matrix: np.ndarray) -> np.ndarray:
    return matrix if matrix.ndim == 1 else np.diag(matrix)


def _sum_of_squares(array: np.ndarray) -> float:
    return float(np.square(array).sum())
