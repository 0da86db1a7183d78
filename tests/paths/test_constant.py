from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from landscape.errors import DataError
from landscape.paths.constant import Constant, best_constant
from landscape.subject.subject import Subject
from tests.cases import CASES, labels, normal, seeded


def constant_of(model: nn.Module, loss: Any, data: Any) -> Constant:
    subject = Subject(model, loss, data)
    return best_constant(subject, list(subject.device_batches()))


def linear(inputs: int, outputs: int) -> nn.Module:
    return seeded(lambda: nn.Linear(inputs, outputs), 0)


def split(x: Tensor, y: Tensor) -> list[tuple[Tensor, Tensor]]:
    return [(x[:7], y[:7]), (x[7:], y[7:])]


def test_labels_have_the_entropy_of_their_frequencies():
    y = torch.tensor([0, 0, 0, 0, 1, 1, 2, -100])
    found = constant_of(linear(2, 4), "ce", split(normal(8, 2, seed=0), y))
    p = np.array([4, 2, 1]) / 7
    assert found.loss == pytest.approx(-(p * np.log(p)).sum())
    assert found.error == pytest.approx(3 / 7)


def test_balanced_classes_have_log_c_and_what_is_left_of_one():
    y = torch.arange(10).repeat(3)
    found = constant_of(linear(2, 10), "ce", split(normal(30, 2, seed=0), y))
    assert (found.loss, found.error) == pytest.approx((math.log(10), 0.9))


def descended(function: Any, target: Tensor) -> float:
    value = normal(4, seed=9).double().requires_grad_()
    optimizer = torch.optim.LBFGS([value], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        one = function(value.expand(len(target), 4), target)
        one.backward()
        return one

    optimizer.step(closure)  # type: ignore[arg-type]
    return float(closure().detach())


@pytest.mark.parametrize("loss", ["ce", "mse", "bce"])
def test_no_constant_that_descent_finds_is_better(loss):
    target, function = {
        "ce": (labels(30, classes=4, seed=1), F.cross_entropy),
        "mse": (normal(30, 4, seed=2), F.mse_loss),
        "bce": ((normal(30, 4, seed=3) > 0.5).float(), F.binary_cross_entropy_with_logits),
    }[loss]
    found = constant_of(linear(2, 4), loss, split(normal(30, 2, seed=0), target))
    exact = target.double() if target.is_floating_point() else target
    assert found.loss == pytest.approx(descended(function, exact), rel=1e-6)


def test_soft_labels_have_the_entropy_of_their_mean():
    y = normal(12, 3, seed=0).softmax(1)
    found = constant_of(linear(2, 3), "ce", split(normal(12, 2, seed=1), y))
    mean = y.double().mean(0)
    assert found.loss == pytest.approx(float(-(mean * mean.log()).sum()), rel=1e-6)
    best = max(float((y.argmax(1) == c).float().mean()) for c in range(3))
    assert found.error == pytest.approx(1 - best)


def test_regression_has_the_variance_and_no_error():
    y = normal(20, 3, seed=0) * torch.tensor([1.0, 2.0, 0.0])
    found = constant_of(linear(2, 3), "mse", split(normal(20, 2, seed=1), y))
    assert found.loss == pytest.approx(float(y.var(0, correction=0).mean()))
    assert found.error is None


def test_a_column_of_labels_that_never_vary_costs_nothing():
    y = torch.stack([torch.ones(12), torch.arange(12) % 3 == 0], 1).float()
    found = constant_of(linear(2, 2), "bce", split(normal(12, 2, seed=1), y))
    p = 1 / 3
    assert found.loss == pytest.approx(-(p * math.log(p) + (1 - p) * math.log(1 - p)) / 2)
    assert found.error == pytest.approx(p / 2)


def test_another_loss_is_minimised():
    """log cosh about its best constant, against a fine grid; the error is of the labels."""

    def log_cosh(outputs: Tensor, targets: Tensor) -> Tensor:
        return torch.log(torch.cosh(outputs[:, 0] - targets))

    y = normal(40, seed=3) ** 2
    found = constant_of(linear(2, 1), log_cosh, split(normal(40, 2, seed=0), y))
    grid = torch.linspace(-1, 4, 4001)[:, None]
    assert found.loss == pytest.approx(float(torch.cosh(grid - y).log().mean(1).min()), rel=1e-4)
    assert found.error is None

    def smoothed(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs, targets, reduction="none", label_smoothing=0.1)

    labelled = torch.tensor([0] * 20 + [1] * 10)
    other = constant_of(linear(2, 3), smoothed, split(normal(30, 2, seed=0), labelled))
    p = torch.tensor([0.9 * 2 / 3 + 0.1 / 3, 0.9 / 3 + 0.1 / 3, 0.1 / 3])
    assert other.loss == pytest.approx(float(-(p * p.log()).sum()), rel=1e-4)
    assert other.error == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    "name", ["tied", "ignored", "pixels", "self-scored", "soft-labels", "custom-mean"]
)
def test_every_kind_of_data_has_one(name):
    subject = CASES[name]().subject()
    found = best_constant(subject, list(subject.device_batches()))
    assert 0 < found.loss < 10
    assert found.error is None or 0 < found.error < 1


def test_a_model_that_keeps_its_loss_to_itself_is_refused():
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(2, 1)

        def forward(self, x: Tensor) -> Any:
            out = self.inner(x)
            return SimpleNamespace(logits=out, loss=out.square().mean())

    subject = Subject(Own(), "hf", [{"x": normal(5, 2, seed=0)}])
    with pytest.raises(DataError, match="best constant"):
        best_constant(subject, list(subject.device_batches()))
