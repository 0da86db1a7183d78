"""How well the top eigenvectors are known; whether they point along the gradient, and as before."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from landscape.estimate import Estimate
from landscape.linalg.eigenpairs import Eigenpairs


def turn(found: Eigenpairs, first: int, last: int) -> float:
    """Return by how much a computed subspace is turned from the true one, at most: sin Θ.

    sin Θ ≤ ‖R‖_F / δ, with R the residuals of the pairs first … last at the top, and δ from their
    values to the nearest other eigenvalue, which lies within its own residual. A residual is of the
    products as they were computed: that of exact ones is longer by their error, `found.noise`, at
    most. One where the gap is not known: beyond the last pair, or where pairs may have been missed.

    Args:
        found: The eigenpairs.
        first: Index of the first of the subspace, from 0.
        last: Index of its last.

    Source: Davis & Kahan 1970, §2.
    """
    values, residuals = found.top.values, found.top.residuals + found.noise
    if not found.complete:
        return 1.0
    above = values[first - 1] - residuals[first - 1] - values[first] if first else math.inf
    if last + 1 < len(values):
        below = values[last] - values[last + 1] - residuals[last + 1]
    else:
        below = math.inf if len(values) == found.top.vectors.shape[1] else 0.0
    gap = float(min(above, below))
    error = float(np.linalg.norm(residuals[first : last + 1]))
    return min(error / gap, 1.0) if gap > 0 else 1.0


def gradient_shares(
    found: Eigenpairs, gradient: Tensor, error: float = 0.0
) -> tuple[Estimate, ...]:
    """Return ‖Vⱼᵀg‖² / ‖g‖² for the first j eigenvectors, j = 1 … k.

    A share moves by no more than the sines of the angles by which the subspace and the gradient are
    turned; where that is not known, the interval is [0, 1]. Nothing for a gradient that is zero.

    Args:
        found: The eigenpairs, of which those at the top are taken.
        gradient: g (n,).
        error: How far it is from the true one, at most.

    Source: Gur-Ari, Roberts & Dyer 2018, arXiv 1812.04754; Davis & Kahan 1970.
    """
    whole = torch.linalg.vector_norm(gradient, dtype=torch.float64)
    if not bool(whole > 0):
        return ()
    parts = torch.stack([(row.double() @ gradient.double()) / whole for row in found.top.vectors])
    shares = parts.square().cumsum(0).clamp(0, 1).cpu().numpy()
    turned = min(error / float(whole), 1.0)
    return tuple(
        _share(float(one), turn(found, 0, last) + turned) for last, one in enumerate(shares)
    )


def overlap(left: Tensor, right: Tensor) -> float:
    """Return ‖V Wᵀ‖²_F / k of two sets of k orthonormal rows (k, n): 1 for the same span.

    Sets of different sizes are compared over the smaller number.
    """
    cosines = left.double() @ right.to(left.device).double().T
    value = float(cosines.square().sum()) / min(len(left), len(right))
    return min(value, 1.0)


def _share(value: float, slack: float) -> Estimate:
    interval = (max(value - slack, 0.0), min(value + slack, 1.0))
    method = "projection on the computed eigenvectors; the Davis-Kahan bound of their turn"
    return Estimate.within(value, interval, method)
