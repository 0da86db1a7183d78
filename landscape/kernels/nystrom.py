"""What a Nyström approximation proves of a kernel that is not formed.

For the basis Q of any subspace, K̂ = (K Q) (Qᵀ K Q)⁺ (K Q)ᵀ lies between 0 and K. So λᵢ(K̂) ≤ λᵢ(K)
for every i, and ‖K − K̂‖_* = tr K − tr K̂: what K̂ misses is known exactly, once tr K is. All bounds
here follow from that: eigenvalues of which the i-th is at least λᵢ(K̂), and whose sum is tr K.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from landscape.errors import NumericalError
from landscape.estimate import Estimate
from landscape.linalg.recurrence import Recurrence

METHOD = "tr K − tr K̂ = ‖K − K̂‖_*, over tr K"


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Eigenvalues that are known from below, and their sum.

    Args:
        lower: The i-th eigenvalue is at least the i-th of these, descending (m,).
        excess: By so much all eigenvalues together exceed them, at most.
        size: How many eigenvalues may not be zero.
    """

    lower: np.ndarray
    excess: float
    size: int

    def upper(self) -> np.ndarray:  # (m + 1,)
        """Return what the i-th eigenvalue is at most, and at the end any beyond the m-th.

        Where λᵢ = t, every earlier one is at least t: t fills them all up from below.
        """
        known = np.append(self.lower, 0.0) if self.size > len(self.lower) else self.lower
        return np.array([_level(known[i::-1], self.excess) for i in range(len(known))])

    def dimension(self, ridge: float) -> Estimate:
        """Return Σ λ / (λ + ridge): a concave sum is largest where the excess fills up from below.

        Args:
            ridge: Positive.
        """
        rest = max(self.size - len(self.lower), 0)
        ascending = self.lower[::-1]
        filled = _level(np.concatenate([np.zeros(min(rest, 1)), ascending]), self.excess, rest)
        raised = np.maximum(self.lower, filled)
        low = float((self.lower / (self.lower + ridge)).sum())
        high = float((raised / (raised + ridge)).sum()) + rest * filled / (filled + ridge)
        return Estimate(
            value=(low + high) / 2,
            kind="estimate",
            interval=(low, max(low, high)),
            level=1.0,
            method="the middle of what Nyström approximation and trace allow",
        )


@dataclass(frozen=True, kw_only=True)
class Approximation:
    """What a Nyström approximation K̂ of rank m proves.

    Args:
        missed: ‖K − K̂‖_* over tr K, exact but for rounding.
        lower: λᵢ(K) is at least this, descending (m,).
        upper: λᵢ(K) is at most this (m,).
        beyond: Every eigenvalue after the m-th is at most this.
        ridges: Of the effective dimensions.
        dimensions: Σ λ / (λ + ridge), the interval proved.
    """

    missed: Estimate
    lower: np.ndarray
    upper: np.ndarray
    beyond: float
    ridges: tuple[float, ...]
    dimensions: tuple[Estimate, ...]


@dataclass(frozen=True, kw_only=True)
class Nystrom:
    """K̂ from a Krylov space.

    Args:
        values: λᵢ(K̂), descending (m,).
        rounding: How far each may be off (m,).
    """

    values: np.ndarray
    rounding: np.ndarray

    def approximation(
        self, *, trace: float, rounding: float, size: int, ridges: tuple[float, ...]
    ) -> Approximation:
        """Return what K̂ proves.

        Args:
            trace: tr K, exactly.
            rounding: How far that may be off.
            size: How many eigenvalues of K may not be zero.
            ridges: Of the effective dimensions.

        Raises:
            NumericalError: K̂ has the larger trace, so that products and factors disagree.
        """
        gap, doubt = trace - float(self.values.sum()), rounding + float(self.rounding.sum())
        if not gap >= -doubt:
            raise NumericalError(
                "the products of the tangent kernel are not those of its trace",
                where="tangent kernel",
                why=f"a Nyström approximation has the trace {trace - gap:.6g}, the kernel "
                f"{trace:.6g}, and rounding explains {doubt:.1e}",
                hint="use --dtype float64; if it stays, report it with the network",
            )
        lower = np.maximum(self.values - self.rounding, 0.0)
        bounds = Bounds(lower=lower, excess=max(trace + rounding - lower.sum(), 0.0), size=size)
        upper = bounds.upper()
        return Approximation(
            missed=_missed(gap, doubt, trace),
            lower=lower,
            upper=upper[: len(lower)],
            beyond=float(upper[-1]) if len(upper) > len(lower) else 0.0,
            ridges=ridges,
            dimensions=tuple(bounds.dimension(ridge) for ridge in ridges),
        )


def nystrom(recurrence: Recurrence, *, floor: float) -> Nystrom:
    """Return K̂ from the basis of a Lanczos run, without a product.

    With the Ritz vectors U of the run, K U = U Θ + W R for orthonormal W orthogonal to U, so that
    K̂ has the eigenvalues of Θ + Θ^-½ RᵀR Θ^-½. Ritz pairs that add less than rounding may are left
    out, in place of a shift: any subspace has K̂ ⪯ K. Products off by E move λᵢ(K̂) by at most
    ‖E‖ (2 c + c²) to first order, c = ‖(Qᵀ K Q)⁻¹ (K Q)ᵀ v‖ for its eigenvector v.

    Args:
        recurrence: Of a positive semidefinite operator.
        floor: How far products may be off, ‖E‖, at least; the run's own symmetry defect where that
            is more.

    Cost: O(m³) on the host.

    Source: Tropp, Yurtsever, Udell & Cevher 2017, arXiv 1706.05736; Frangella, Tropp & Udell 2021,
    arXiv 2110.02820.
    """
    ritz, coupling = recurrence.ritz(), recurrence.coupling
    floor = max(floor, ritz.defect)
    theta = ritz.values.clamp_min(0)
    outside = coupling.T @ ritz.weights[-len(coupling) :]  # (b, m): R
    square = ritz.residuals.square()
    gained = theta.square() + square > floor * (theta.sqrt() + (square / theta).sqrt()).square()
    kept = gained & (theta > 0)
    theta, outside = theta[kept], outside[:, kept]
    scaled = outside / theta.sqrt()
    values, vectors = torch.linalg.eigh(torch.diag(theta) + scaled.T @ scaled)
    bent = (values * (vectors.square() / theta[:, None]).sum(0)).sqrt()
    rounding = floor * (2 * bent + bent.square())
    order = torch.argsort(values, descending=True)
    return Nystrom(values=values[order].numpy(), rounding=rounding[order].numpy())


def _level(ascending: np.ndarray, excess: float, first: int = 1) -> float:
    """Return the level up to which an excess fills some values, the first of them so many times."""
    if not len(ascending):
        return 0.0
    counts = np.arange(len(ascending)) + max(first, 1)
    return float(((excess + np.cumsum(ascending)) / counts).min())


def _missed(gap: float, doubt: float, trace: float) -> Estimate:
    share, half = (one / trace if trace > 0 else 0.0 for one in (gap, doubt))
    interval = (min(max(share - half, 0.0), 1.0), min(share + half, 1.0))
    if share > half:
        return Estimate(value=share, kind="exact", interval=interval, level=1.0, method=METHOD)
    value = interval[1]
    return Estimate(
        value=value, kind="upper_bound", interval=(0.0, value), level=1.0, method=f"{METHOD}; floor"
    )
