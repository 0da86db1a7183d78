from __future__ import annotations

import pytest
import torch
from torch import Tensor

from landscape.operators.local import LocalHessian
from landscape.operators.misfit import LIMITS, misfit
from tests.oracles import F64

THETA = torch.tensor([1.0, -2.0, 0.5], dtype=F64)
VECTOR = torch.tensor([0.6, 0.0, 0.8], dtype=F64)
IMAGE = 12 * THETA**2 * VECTOR  # of Σ θ⁴


def quartic_with_a_kink(at: float) -> LocalHessian:
    """Σ θ⁴, and far along the vector a slope of a thousand that the second derivative ignores."""

    def function(theta: Tensor) -> Tensor:
        along = (theta - THETA) @ VECTOR - at
        return theta.pow(4).sum() + 1000 * torch.relu(along)

    return LocalHessian(function, THETA)


@pytest.mark.parametrize("at", [1e-3, 1e-5, 1e-7, 3e-8])
def test_a_kink_nearby_is_no_wrong_derivative(at):
    assert misfit(quartic_with_a_kink(at), VECTOR, IMAGE, F64) < 0.1 * LIMITS[F64]


@pytest.mark.parametrize("at", [1e-3, 3e-8])
@pytest.mark.parametrize("factor", [2.0, 1.01, 0.0, -1.0])
def test_a_wrong_product_is_told(at, factor):
    found = misfit(quartic_with_a_kink(at), VECTOR, factor * IMAGE, F64)
    assert found >= 0.99 * min(abs(factor - 1) / max(abs(factor), 1), 1)


def test_a_fine_step_that_rounding_drowns_is_no_evidence():
    """Beside a slope of 1e7 the curvature of the finest steps is lost in rounding."""

    def function(theta: Tensor) -> Tensor:
        return theta.pow(4).sum() + 1e7 * (theta @ VECTOR)

    local = LocalHessian(function, THETA)
    assert misfit(local, VECTOR, 2 * IMAGE, F64) > 100 * LIMITS[F64]
    assert misfit(local, VECTOR, IMAGE, F64) < LIMITS[F64]
