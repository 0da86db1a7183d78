from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from landscape.signals.samples import UnavailableError
from landscape.signals.smoothness import smoothness
from landscape.subject.subject import Subject
from tests.cases import CASES
from tests.oracles import F64, generator, orthogonal


class Quadratic(nn.Module):
    """Σ over one sample of (A^½ w)² is the loss wᵀAw: a Hessian of 2A."""

    def __init__(self, root: Tensor, at: Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(at.clone())
        self.register_buffer("root", root)

    def forward(self, x: Tensor) -> Tensor:
        return x * (self.root @ self.w) * math.sqrt(len(self.w) / 2)  # type: ignore[operator]


VALUES = torch.tensor([0.5, 1.0, 2.0, 5.0], dtype=F64)


def quadratic(at: Tensor) -> Subject:
    basis = orthogonal(4, 3)
    root = torch.diag(VALUES.sqrt()) @ basis.T
    x = torch.ones(1, 4, dtype=F64)
    return Subject(Quadratic(root, at), "mse", (x, torch.zeros(1, 4, dtype=F64)))


@pytest.mark.parametrize("rate", [None, 0.1])
@pytest.mark.parametrize("seed", range(4))
def test_on_a_quadratic_it_lies_between_the_eigenvalues(rate, seed):
    subject = quadratic(torch.randn(4, generator=generator(seed), dtype=F64))
    gradient = subject.gradient(subject.point)
    found = smoothness(subject, gradient, rate)
    hessian = orthogonal(4, 3) @ torch.diag(VALUES) @ orthogonal(4, 3).T
    exact = float((hessian @ gradient).norm() / gradient.norm())
    for one in found.steps:
        assert one.smoothness.value == pytest.approx(exact, rel=1e-6)
        assert 0.5 <= one.smoothness.value <= 5.0
    assert found.effective.kind == "lower_bound"
    assert found.effective.value == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("place", range(4))
def test_along_an_eigenvector_it_is_the_eigenvalue(place):
    subject = quadratic(orthogonal(4, 3)[:, place])
    found = smoothness(subject, subject.gradient(subject.point), None)
    assert found.effective.value == pytest.approx(float(VALUES[place]), rel=1e-6)


@pytest.mark.parametrize("name", ["mlp", "cnn", "tied"])
def test_it_is_never_beyond_the_curvature_along_the_way(name):
    """‖g′ − g‖ ≤ sup λ · s‖g‖: dense Hessians along the longest step bound it."""
    from tests.cases import reference

    exact = reference(name)
    subject = CASES[name]().subject(dtype="float64")
    gradient = subject.gradient(subject.point)
    found = smoothness(subject, gradient, None)
    for one in found.steps:
        ahead = exact.gradient(exact.theta - one.rate * gradient)
        beta = float((ahead - gradient).norm() / (one.rate * gradient.norm()))
        assert one.smoothness.value == pytest.approx(beta, rel=1e-6)
        assert one.loss.value == pytest.approx(
            float(exact.loss(exact.theta - one.rate * gradient)), rel=1e-9
        )


def test_steps_are_around_the_learning_rate_where_it_is_known():
    subject = CASES["mlp"]().subject()
    found = smoothness(subject, subject.gradient(subject.point), 0.4)
    assert [one.rate for one in found.steps] == pytest.approx([0.1, 0.2, 0.4, 0.8])
    assert found.by == "the learning rate"


def test_rounding_is_told():
    subject = CASES["mlp"]().subject()
    found = smoothness(subject, subject.gradient(subject.point), None)
    double = CASES["mlp"]().subject(dtype="float64")
    exact = smoothness(double, double.gradient(double.point), None)
    for ours, truth in zip(found.steps, exact.steps, strict=True):
        low, high = ours.smoothness.interval
        assert low <= truth.smoothness.value <= high


def test_a_gradient_of_zero_has_none():
    subject = quadratic(torch.zeros(4, dtype=F64))
    with pytest.raises(UnavailableError, match="zero"):
        smoothness(subject, subject.gradient(subject.point), None)
