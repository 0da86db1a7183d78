"""Whether the loss really falls along a direction of negative curvature."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

SIZES = tuple(2.0**power for power in range(-8, 2))  # of the length of the weights, at least 1


@dataclass(frozen=True, kw_only=True)
class Escape:
    """The best of some steps along ± the eigenvector of the smallest eigenvalue.

    Args:
        step: Its signed length.
        loss: L(θ) before.
        lowest: L(θ + s v).
        decrease: What the step gained; zero where no step lowered the loss.
        predicted: What the quadratic model said of that step.
        lowered: Whether the gain exceeds the rounding of the loss.
    """

    step: float
    loss: float
    lowest: float
    decrease: float
    predicted: float
    lowered: bool

    @property
    def sentence(self) -> str:
        """Return what was found, in words."""
        if not self.lowered:
            return "no step along its eigenvector lowered the loss"
        return (
            f"a step of {self.step:.3g} along its eigenvector lowers the loss "
            f"from {self.loss:.6g} to {self.lowest:.6g}"
        )


def escape_along(
    loss_at: Callable[[Tensor], float],
    theta: Tensor,
    vector: Tensor,
    *,
    loss: float,
    slope: float,
    curvature: float,
) -> Escape:
    """Return the best step along ± a unit vector: |s| from 2⁻⁸ to 2 times max(‖θ‖, 1), doubling.

    In each direction the search goes on while the loss falls, and once more.

    Args:
        loss_at: L as a function of θ (n,).
        theta: Where (n,).
        vector: v (n,), of length one.
        loss: L(θ).
        slope: gᵀv.
        curvature: vᵀHv.

    Cost: three to twenty forward passes over the data.
    """
    length = max(float(torch.linalg.vector_norm(theta, dtype=torch.float64)), 1.0)
    sign = -1.0 if slope > 0 else 1.0  # downhill first
    tried = [_descend(loss_at, theta, vector, side * length) for side in (sign, -sign)]
    lowest, step = min(tried)
    rounding = 8 * torch.finfo(theta.dtype).eps * abs(loss)
    lowered = loss - lowest > rounding
    return Escape(
        step=step,
        loss=loss,
        lowest=lowest,
        decrease=max(loss - lowest, 0.0),
        predicted=-(slope * step + curvature * step**2 / 2),
        lowered=lowered,
    )


def _descend(
    loss_at: Callable[[Tensor], float], theta: Tensor, vector: Tensor, unit: float
) -> tuple[float, float]:
    """Return the lowest loss and its step; the steps double until the loss has stopped falling."""
    best, risen = (float("inf"), 0.0), 0
    for size in SIZES:
        step = size * unit
        value = loss_at(theta + step * vector.to(theta))
        if value < best[0]:
            best, risen = (value, step), 0
        else:
            risen += 1
        if risen == 2:
            break
    return best
