"""Kernel ridge regression for every ridge from one eigendecomposition, with exact leave-one-out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from landscape.kernels.decomposition import Decomposition

POINTS = 25
DECADES = 8  # below the mean eigenvalue


@dataclass(frozen=True, kw_only=True)
class RidgePath:
    """Errors of the regression of Y on the kernel along a path of ridges.

    Args:
        ridge: λ (r,), descending.
        left_out: Mean squared leave-one-out residual (r,).
        generalised: Generalised cross-validation (r,), which is KARE.
        dimension: Σ μ / (μ + λ) (r,).
        best: Where `left_out` is least.
    """

    ridge: np.ndarray
    left_out: np.ndarray
    generalised: np.ndarray
    dimension: np.ndarray
    best: int


@dataclass(frozen=True, kw_only=True)
class Fit:
    """The regression at one ridge.

    Args:
        ridge: λ.
        left_out: Predictions for every sample by all others (N, O).
        leverage: Diagonal of K (K + λ)⁻¹ (N,).
        weights: (K + λ)⁻¹ Y (N, O).
    """

    ridge: float
    left_out: np.ndarray
    leverage: np.ndarray
    weights: np.ndarray


def ridge_path(found: Decomposition, targets: np.ndarray) -> RidgePath:
    """Return the errors along ridges from the largest eigenvalue down to the floor.

    Args:
        found: Of a kernel (N, N).
        targets: Y (N, O).

    Cost: O(N² O) a point.

    Source: Golub, Heath & Wahba 1979 (generalised cross-validation); Jacot et al. 2020, arXiv
    2006.09796 (KARE, the same quotient).
    """
    top = max(float(found.values[0]), 1e-300)
    least = max(found.floor, top * 10.0**-DECADES)
    ridges = np.geomspace(top, least, POINTS)
    left_out, generalised = [], []
    for ridge in ridges:
        fit = fitted(found, targets, ridge)
        left_out.append(float(np.square(targets - fit.left_out).sum(1).mean()))
        residual = np.square(ridge * fit.weights).sum(1).mean()
        generalised.append(float(residual / (1 - fit.leverage.mean()) ** 2))
    return RidgePath(
        ridge=ridges,
        left_out=np.array(left_out),
        generalised=np.array(generalised),
        dimension=np.array([found.effective_dimension(ridge) for ridge in ridges]),
        best=int(np.argmin(left_out)),
    )


def fitted(found: Decomposition, targets: np.ndarray, ridge: float) -> Fit:
    """Return the regression at a ridge λ > 0, and what each sample is told by all others.

    With A = K + λ, the residual of a sample when it is left out is (A⁻¹Y)_i / (A⁻¹)_ii, exactly.

    Args:
        found: Of a kernel (N, N).
        targets: Y (N, O).
        ridge: λ.

    Source: Allen 1974 (PRESS); Wahba 1990, §4.2.
    """
    vectors = found.vectors
    if vectors is None:
        raise ValueError("a kernel in blocks has no joint eigenvectors")
    inverse = 1 / (found.positive + ridge)
    weights = vectors @ (inverse[:, None] * (vectors.T @ targets))
    diagonal = np.square(vectors) @ inverse
    residual = weights / diagonal[:, None]
    return Fit(
        ridge=float(ridge),
        left_out=targets - residual,
        leverage=1 - ridge * diagonal,
        weights=weights,
    )
