from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import grad, hessian

from landscape.operators.bend import hessian_bend, outer_bend
from landscape.subject.custom_loss import CustomLoss
from landscape.subject.losses import (
    IGNORED,
    BinaryCrossEntropy,
    CrossEntropy,
    Loss,
    MeanSquaredError,
)
from tests.cases import labels, log_cosh, mean_log_cosh
from tests.oracles import F64, generator


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=F64)


def ignoring(targets: Tensor) -> Tensor:
    return targets.masked_fill(torch.arange(targets.numel()).view_as(targets) % 3 == 1, IGNORED)


def shares(*shape: int) -> Tensor:  # do not sum to one
    return torch.rand(*shape, generator=generator(5), dtype=F64)


CASES: dict[str, Callable[[], tuple[Loss, Tensor, Any]]] = {
    "classes": lambda: (CrossEntropy(), normal(4, 3), labels(4, classes=3, seed=1)),
    "classes, ignored": lambda: (
        CrossEntropy(),
        normal(4, 3),
        ignoring(labels(4, classes=3, seed=1)),
    ),
    "tokens, classes last": lambda: (
        CrossEntropy(),
        normal(2, 4, 3),
        ignoring(labels(2, 4, classes=3, seed=1)),
    ),
    "tokens as many as classes": lambda: (
        CrossEntropy(),
        normal(2, 3, 3),
        labels(2, 3, classes=3, seed=1),
    ),
    "pixels, classes second": lambda: (
        CrossEntropy(),
        normal(2, 3, 2, 4),
        ignoring(labels(2, 2, 4, classes=3, seed=1)),
    ),
    "probabilities": lambda: (CrossEntropy(), normal(4, 3), shares(4, 3).softmax(1)),
    "shares": lambda: (CrossEntropy(), normal(4, 3), shares(4, 3)),
    "shares of pixels": lambda: (CrossEntropy(), normal(2, 3, 4), shares(2, 3, 4)),
    "shares, as many as classes": lambda: (CrossEntropy(), normal(2, 3, 3), shares(2, 3, 3)),
    "mse": lambda: (MeanSquaredError(), normal(4, 3), normal(4, 3, seed=1)),
    "mse, one axis less": lambda: (MeanSquaredError(), normal(4, 1), normal(4, seed=1)),
    "bce": lambda: (BinaryCrossEntropy(), normal(4, 3), shares(4, 3)),
    "bce, labels": lambda: (BinaryCrossEntropy(), normal(4, 1), labels(4, classes=2, seed=1)),
    "custom": lambda: (CustomLoss(log_cosh), normal(4, 1), normal(4, seed=1)),
    "custom mean": lambda: (CustomLoss(mean_log_cosh), normal(4, 1), normal(4, seed=1)),
}


@pytest.mark.parametrize("name", CASES)
def test_curvature_in_the_outputs_is_the_hessian_of_the_loss(name):
    loss, outputs, targets = CASES[name]()
    exact = hessian(lambda z: loss.total(z, targets))(outputs)
    exact = exact.reshape(outputs.numel(), outputs.numel())
    products = hessian_bend(loss, targets)(outputs)
    every = torch.eye(outputs.numel(), dtype=F64).view(-1, *outputs.shape)
    found = products(every).reshape(outputs.numel(), outputs.numel())
    torch.testing.assert_close(found, exact, rtol=1e-12, atol=1e-13)
    one = products(every[:1]).reshape(-1)
    torch.testing.assert_close(one, exact[0], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", CASES)
def test_outer_products_are_those_of_the_gradients_of_samples(name):
    loss, outputs, targets = CASES[name]()
    slope = grad(lambda z: loss.total(z, targets))(outputs)
    products = outer_bend(loss, [targets])(outputs)
    every = torch.eye(outputs.numel(), dtype=F64).view(-1, *outputs.shape)
    found = products(every).reshape(outputs.numel(), outputs.numel())
    exact = torch.zeros_like(found)
    for sample in _samples(name, outputs):
        part = torch.where(sample, slope, 0).reshape(-1)
        exact += torch.outer(part, part)
    torch.testing.assert_close(found, exact, rtol=1e-12, atol=1e-13)


def _samples(name: str, outputs: Tensor) -> list[Tensor]:
    """The outputs of each sample, as masks: of a token or pixel, or of a row."""
    numbers = torch.arange(outputs.numel()).view_as(outputs)
    if name.startswith("tokens"):
        groups = numbers.flatten(0, -2)
    elif "pixels" in name or name.startswith("shares,"):
        groups = numbers.movedim(1, -1).flatten(0, -2)
    else:
        groups = numbers.flatten(1)
    return [torch.isin(numbers, group) for group in groups]


def test_outer_products_are_averaged_over_draws():
    loss, outputs = CrossEntropy(), normal(4, 3)
    drawn = [labels(4, classes=3, seed=seed) for seed in range(3)]
    block = normal(2, 4, 3, seed=7)
    together = outer_bend(loss, drawn)(outputs)(block)
    apart = [outer_bend(loss, [one])(outputs)(block) for one in drawn]
    torch.testing.assert_close(together, torch.stack(apart).mean(0))
