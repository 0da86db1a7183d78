"""Whether the loss really falls along a direction of negative curvature."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from landscape.estimate import Estimate

DATA = "the given data"
SIZES = tuple(2.0**power for power in range(-8, 2))  # of the length of the weights, at least 1


@dataclass(frozen=True, kw_only=True)
class Escape:
    """The best of some steps along ± the eigenvector of the smallest eigenvalue.

    Args:
        step: Its signed length.
        loss: L(θ) before.
        lowest: L(θ + s v).
        decrease: What the step gained; zero where no step lowered the loss.
        predicted: What the quadratic model said of that step, with the residual's bound of vᵀHv.
        lowered: Whether the gain exceeds the rounding of the loss.
    """

    step: float
    loss: Estimate
    lowest: Estimate
    decrease: Estimate
    predicted: Estimate
    lowered: bool

    @property
    def sentence(self) -> str:
        """Return what was found, in words."""
        if not self.lowered:
            return "no step along its eigenvector lowered the loss"
        return (
            f"a step of {self.step:.3g} along its eigenvector lowers the loss "
            f"from {self.loss.value:.6g} to {self.lowest.value:.6g}"
        )


def escape_along(
    loss_at: Callable[[Tensor], float],
    theta: Tensor,
    vector: Tensor,
    *,
    loss: float,
    slope: float,
    curvature: Estimate,
) -> Escape:
    """Return the best step along ± a unit vector: |s| from 2⁻⁸ to 2 times max(‖θ‖, 1), doubling.

    In each direction the search goes on while the loss falls, and once more.

    Args:
        loss_at: L as a function of θ (n,).
        theta: Where (n,).
        vector: v (n,), of length one.
        loss: L(θ).
        slope: gᵀv.
        curvature: The eigenvalue, with its residual.

    Cost: three to twenty forward passes over the data.
    """
    length = max(float(torch.linalg.vector_norm(theta, dtype=torch.float64)), 1.0)
    sign = -1.0 if slope > 0 else 1.0  # downhill first
    tried = [_descend(loss_at, theta, vector, side * length) for side in (sign, -sign)]
    lowest, step = min(tried)
    rounding = 8 * torch.finfo(theta.dtype).eps * abs(loss)
    return Escape(
        step=step,
        loss=Estimate.exact(loss, DATA),
        lowest=Estimate.exact(lowest, DATA),
        decrease=_within(max(loss - lowest, 0.0), rounding, f"{DATA}; rounding of both losses"),
        predicted=_predicted(slope, curvature, step),
        lowered=loss - lowest > rounding,
    )


def _predicted(slope: float, curvature: Estimate, step: float) -> Estimate:
    """Return −(gᵀv s + ½ vᵀHv s²); vᵀHv is no further from the eigenvalue than the residual."""
    value = -(slope * step + curvature.value * step**2 / 2)
    error = (curvature.residual or 0.0) * step**2 / 2
    return _within(value, error, "the quadratic model; the residual of its curvature")


def _within(value: float, error: float, method: str) -> Estimate:
    return Estimate.within(value, (value - error, value + error), method)


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
