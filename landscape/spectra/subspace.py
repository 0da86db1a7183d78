"""Where the top eigenvectors point: along the gradient, into which layers, as before?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from landscape.estimate import Estimate
from landscape.linalg.eigenpairs import Pairs


@dataclass(frozen=True, kw_only=True)
class Direction:
    """Where one eigenvector lies.

    Args:
        mass: Σ vᵢ² over each layer (layers,), summing to one.
        participation: 1 / Σ vᵢ⁴: over how many coordinates it is spread, 1 … n.
    """

    mass: np.ndarray  # (layers,)
    participation: float


def gradient_shares(pairs: Pairs, gradient: Tensor) -> tuple[Estimate, ...]:
    """Return ‖Vⱼᵀg‖² / ‖g‖² for the first j eigenvectors, j = 1 … k.

    A computed subspace turns from the true one by at most sin Θ ≤ ‖R‖_F / (λⱼ − λⱼ₊₁), R being the
    residuals, and the share by no more; where that gap is not known or closed, the interval is
    [0, 1]. Nothing for a gradient that is zero.

    Args:
        pairs: Eigenpairs of one end (k, n), the extreme one first, none missed.
        gradient: g (n,).

    Source: Gur-Ari, Roberts & Dyer 2018, arXiv 1812.04754; Davis & Kahan 1970.
    """
    whole = torch.linalg.vector_norm(gradient, dtype=torch.float64)
    if not bool(whole > 0):
        return ()
    parts = torch.stack([(row.double() @ gradient.double()) / whole for row in pairs.vectors])
    shares = parts.square().cumsum(0).clamp(0, 1).cpu().numpy()
    gaps = np.append(np.abs(np.diff(pairs.values)), 0.0)
    turned = np.sqrt(np.cumsum(np.square(pairs.residuals)))
    gaps = gaps - pairs.residuals - np.append(pairs.residuals[1:], 0.0)
    return tuple(
        _share(float(share), float(turn), float(gap))
        for share, turn, gap in zip(shares, turned, gaps, strict=True)
    )


def directions(vectors: Tensor, layers: Sequence[tuple[int, int]]) -> tuple[Direction, ...]:
    """Return where each eigenvector lies.

    Args:
        vectors: Unit vectors (k, n), rows.
        layers: Coordinates (start, stop) of each layer.
    """
    found = []
    for row in vectors:
        square = row.double().square()
        square = square / square.sum()
        mass = np.array([float(square[start:stop].sum()) for start, stop in layers])
        found.append(Direction(mass=mass, participation=1 / float(square.square().sum())))
    return tuple(found)


def overlap(left: Tensor, right: Tensor) -> float:
    """Return ‖V Wᵀ‖²_F / k of two sets of k orthonormal rows (k, n): 1 for the same span.

    Sets of different sizes are compared over the smaller number.
    """
    cosines = left.double() @ right.to(left.device).double().T
    value = float(cosines.square().sum()) / min(len(left), len(right))
    return min(value, 1.0)


def _share(value: float, turned: float, gap: float) -> Estimate:
    slack = min(turned / gap, 1.0) if gap > 0 else 1.0
    interval = (max(value - slack, 0.0), min(value + slack, 1.0))
    return Estimate(
        value=value,
        kind="estimate",
        interval=interval,
        level=1.0,
        solver=interval,
        method="projection on the computed eigenvectors; the Davis-Kahan bound of their turn",
    )
