"""The eigenvalues of a kernel, and what rounding leaves of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from landscape.errors import NumericalError
from landscape.estimate import Estimate

FLOOR = "largest eigenvalue over the floor of rounding: the smallest is below it"


@dataclass(frozen=True, kw_only=True)
class Decomposition:
    """K = U diag(λ) Uᵀ in float64.

    Args:
        values: λ descending (k,), as they were computed, also where below the floor.
        vectors: Columns (n, k), or None for a kernel that is a sum of blocks.
        floor: Below it an eigenvalue is rounding.
        precision: ε of the numbers that K was computed from.
    """

    values: np.ndarray
    vectors: np.ndarray | None
    floor: float
    precision: float

    @property
    def rank(self) -> int:
        """Return how many eigenvalues stand above the floor."""
        return int((self.values > self.floor).sum())

    @property
    def positive(self) -> np.ndarray:
        """Return the eigenvalues, those below the floor as zero."""
        return np.where(self.values > self.floor, self.values, 0.0)

    @property
    def condition(self) -> Estimate:
        """Return λ_max / λ_min; its lower bound where the smallest is below the floor."""
        largest, smallest = float(self.values[0]), float(self.values[-1])
        if largest <= 0:
            return _missing("the kernel is zero", "largest over smallest eigenvalue")
        if smallest > self.floor:
            return Estimate.exact(largest / smallest, "largest over smallest eigenvalue")
        value = largest / self.floor
        return Estimate(
            value=value, kind="lower_bound", interval=(value, math.inf), level=1.0, method=FLOOR
        )

    @property
    def participation(self) -> float:
        """Return (Σλ)² / Σλ², the number of modes that carry the trace."""
        square = float(np.square(self.values).sum())
        return float(self.values.sum()) ** 2 / square if square else 0.0

    @property
    def entropy_rank(self) -> Estimate:
        """Return exp of the entropy of λ / Σλ, with what rounding hides (Roy & Vetterli 2007)."""
        value = _entropy_rank(self.positive)
        method = "exp of the entropy of λ / Σλ of these samples"
        if self.rank == len(self.values):
            return Estimate.exact(value, method)
        high = _entropy_rank(np.maximum(self.values, self.floor))
        return Estimate(
            value=value,
            kind="estimate",
            interval=(min(value, high), max(value, high)),
            level=1.0,
            method=f"{method}; what is below the floor of rounding as zero, and as the floor",
        )

    def effective_dimension(self, ridge: float) -> float:
        """Return Σ λ / (λ + ridge)."""
        kept = self.positive
        return float((kept / (kept + ridge)).sum()) if ridge > 0 else float(self.rank)


def decomposition(
    values: np.ndarray, *, precision: float, counted: np.ndarray | None = None
) -> Decomposition:
    """Return the spectrum of a kernel (n, n), or of the blocks (O, N, N) of one.

    The floor is ε λ_max √n, or how far the smallest eigenvalue lies below zero where that is more:
    a kernel has no negative eigenvalues.

    Args:
        values: Symmetric, float64.
        precision: ε of the numbers that its entries were computed from.
        counted: Rows that are of the kernel (n,), or (O, N) of the blocks; the others are zero, and
            have no eigenvalues. None: all.

    Raises:
        NumericalError: An entry is not finite.

    Cost: O(n³).
    """
    if not np.isfinite(values).all():
        raise NumericalError(
            "the tangent kernel is not finite",
            where="tangent kernel",
            why="a Jacobian overflowed or is NaN",
            hint="use --dtype float64, or look at `landscape gradients`",
        )
    rows = values.shape[-1]
    if counted is not None:
        rows = int(counted.sum(-1).max())
    if values.ndim == 2:
        found, vectors = _eigh(values, counted)
    else:
        found, vectors = _eigenvalues(values, counted), None
    floor = precision * abs(float(found[0])) * math.sqrt(rows)
    floor = max(floor, -float(found[-1]), 0.0)
    return Decomposition(values=found, vectors=vectors, floor=floor, precision=precision)


def _entropy_rank(values: np.ndarray) -> float:
    share = values[values > 0] / max(values.sum(), 1e-300)
    return float(np.exp(-(share * np.log(share)).sum())) if len(share) else 0.0


def _eigh(values: np.ndarray, counted: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return eigenvalues (k,), descending, and eigenvectors (n, k), of the rows that count."""
    part = values if counted is None else values[np.ix_(counted, counted)]
    found, vectors = np.linalg.eigh(part)
    found, vectors = found[::-1].copy(), vectors[:, ::-1].copy()
    if counted is None:
        return found, vectors
    whole = np.zeros((len(values), len(found)))
    whole[counted] = vectors
    return found, whole


def _eigenvalues(values: np.ndarray, counted: np.ndarray | None) -> np.ndarray:
    """Return the eigenvalues of all blocks together, descending."""
    if counted is None:
        return np.sort(np.linalg.eigvalsh(values).ravel())[::-1].copy()
    pairs = zip(values, counted, strict=True)
    parts = [np.linalg.eigvalsh(one[np.ix_(kept, kept)]) for one, kept in pairs]
    return np.sort(np.concatenate(parts))[::-1].copy()


def _missing(reason: str, method: str) -> Estimate:
    return Estimate(
        value=math.nan, kind="estimate", interval=(math.nan, math.nan), method=method, reason=reason
    )
