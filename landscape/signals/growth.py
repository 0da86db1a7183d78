"""Whether smoothness grows with the gradient's length: the (L₀, L₁) condition over a series."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from landscape.estimate import Estimate
from landscape.signals.trend import theil_sen

LEAST = 3  # checkpoints


@dataclass(frozen=True, kw_only=True)
class Growth:
    """The condition β ≤ L₀ + L₁ ‖g‖ at the checkpoints of a series so far.

    Args:
        constant: L₀ of the lowest line that no checkpoint lies above.
        slope: L₁ of it.
        trend: The Theil-Sen slope of β in ‖g‖, with its interval; None from fewer than six.
        threshold: L₀ / L₁: beyond that length of the gradient to clip; None where one is 0.
        norms: ‖g‖ of the checkpoints (t,).
        smoothness: β of the checkpoints (t,).
    """

    constant: Estimate
    slope: Estimate
    trend: Estimate | None
    threshold: Estimate | None
    norms: np.ndarray
    smoothness: np.ndarray


def growth(history: np.ndarray) -> Growth | None:
    """Return the (L₀, L₁) fit to a history of (‖g‖, β) (t, 2); None from fewer than three.

    The line lies above every point, with L₀, L₁ ≥ 0, and of these the mean of the points below it
    is nearest: a linear programme in two unknowns, solved on its vertices.

    Source: Zhang et al. 2020, arXiv 1905.11881, §3 and §5.
    """
    history = history[np.isfinite(history).all(1)]
    if len(history) < LEAST:
        return None
    norms, smooth = history.T
    trend = theil_sen(norms, smooth, method="Theil-Sen slope of β in ‖g‖")
    constant, slope = _line(norms, smooth)
    told = f"the lowest line above {len(history)} checkpoints"
    return Growth(
        constant=_below(constant, told),
        slope=_below(slope, told),
        trend=trend,
        threshold=_below(constant / slope, f"L₀ / L₁ of {told}") if slope and constant else None,
        norms=norms,
        smoothness=smooth,
    )


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return (L₀, L₁) ≥ 0 of the line above all points that is lowest at the mean of x ≥ 0.

    An optimum lies where two of the bounds L₀ + L₁ xᵢ ≥ yᵢ, L₀ ≥ 0, L₁ ≥ 0 are met.
    """
    slopes = [0.0, *(y / x)[x > 0]]
    for i, j in zip(*np.triu_indices(len(x), 1), strict=True):
        if x[i] != x[j]:
            slopes.append((y[j] - y[i]) / (x[j] - x[i]))
    allowed = [float(slope) for slope in slopes if slope >= 0]
    lines = [(max(float((y - slope * x).max()), 0.0), slope) for slope in allowed]
    return min(lines, key=lambda line: line[0] + line[1] * float(x.mean()))


def _below(value: float, method: str) -> Estimate:
    return Estimate.exact(value, f"{method}; other points may lie above it")
