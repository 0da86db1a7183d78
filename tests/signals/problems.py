"""Networks and data whose gradients are known."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from landscape.signals.samples import Samples, some_samples
from landscape.subject.subject import Subject
from tests.oracles import F64, Reference, generator


def samples_of(subject: Subject, most: int = 10_000) -> Samples:
    return Samples(subject=subject, point=subject.point, batches=some_samples(subject, most))


def linear_regression(
    number: int, size: int = 10, noise: float = 0.5, seed: int = 0, batch: int | None = None
) -> tuple[nn.Module, list[tuple[Tensor, Tensor]], Tensor]:
    """w with offset δ from the truth: x ~ N(0, I), y = w*ᵀx + noise; the loss is ½ (wᵀx − y)²·2.

    With the mean squared error gᵢ = 2 rᵢ xᵢ, four times tr Σ and ‖g‖² of ½ (·)²: B does not mind.
    """
    draw = generator(seed)
    delta = torch.randn(size, generator=generator(99), dtype=F64)
    delta *= 0.7 / delta.norm()
    x = torch.randn(number, size, generator=draw, dtype=F64)
    y = noise * torch.randn(number, 1, generator=draw, dtype=F64)
    model = nn.Linear(size, 1, bias=False, dtype=F64)
    model.weight.data = delta[None].clone()
    batch = batch or number
    return model, list(zip(x.split(batch), y.split(batch), strict=True)), delta


def gradients_one_by_one(reference: Reference) -> Tensor:  # (N, n)
    """gᵢ of every sample, scaled so that their mean is the gradient, from dense autograd."""
    rows = []
    for args, kwargs, targets in reference.batches:
        size = len(targets)
        for i in range(size):

            def cut(value: Any, i: int = i, size: int = size) -> Any:
                whole = isinstance(value, Tensor) and value.dim() and len(value) == size
                return value[i : i + 1] if whole else value

            one = (tuple(map(cut, args)), {k: cut(v) for k, v in kwargs.items()}, cut(targets))
            theta = reference.theta.detach().requires_grad_()
            outputs = reference._outputs(theta, one)
            total, _ = reference._terms(outputs, one)
            rows.append(torch.autograd.grad(total, theta)[0])
    stacked = torch.stack(rows)
    return stacked * (len(stacked) / reference.count)


def chain_of(layers: list[nn.Module]) -> nn.Sequential:
    return nn.Sequential(*layers)


def deep(weights: list[Tensor], between: nn.Module | None = None) -> nn.Sequential:
    """Linear layers without bias of given weights, with an activation function between."""
    layers: list[nn.Module] = []
    for number, weight in enumerate(weights):
        layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=weight.dtype)
        layer.weight.data = weight.clone()
        layers += [layer] if number == 0 or between is None else [between, layer]
    return nn.Sequential(*layers)
