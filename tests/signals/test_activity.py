from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import landscape as ls
from landscape.signals.activity import Activity, activity
from landscape.subject.subject import Subject
from tests.cases import CASES
from tests.oracles import F64, generator
from tests.signals.problems import deep, samples_of


def studied(model: nn.Module, x: Tensor, y: Tensor, loss: str = "mse", batch: int = 64) -> Activity:
    data = list(zip(x.split(batch), y.split(batch), strict=True))
    return activity(samples_of(Subject(model, loss, data)))


def gaussian(shapes: list[tuple[int, int]], variance: float, seed: int = 0) -> list[Tensor]:
    draw = generator(seed)
    return [
        torch.randn(*shape, generator=draw, dtype=F64) * math.sqrt(variance / shape[1])
        for shape in shapes
    ]


def relu_net(variance: float, *, depth: int = 10, width: int = 400, seed: int = 0) -> Activity:
    shapes = [(width, width)] * depth
    model = deep(gaussian(shapes, variance, seed), nn.ReLU())
    x = torch.randn(128, width, generator=generator(seed + 1), dtype=F64)
    return studied(model, x, torch.zeros(128, width, dtype=F64))


@pytest.mark.parametrize(("variance", "factor"), [(2.0, 1.0), (1.0, 0.5)])
def test_relu_networks_follow_the_mean_field(variance, factor):
    """He's σ_w² = 2 keeps q and has χ₁ = 1; σ_w² = 1 halves both in every layer."""
    found = relu_net(variance)
    q = np.array([one.forward.value for one in found.layers if one.kind == "Linear"])
    np.testing.assert_allclose(q[1:] / q[:-1], factor, rtol=0.25)  # 400 units: √(5/400) a layer
    assert math.exp(np.log(q[1:] / q[:-1]).mean()) == pytest.approx(factor, rel=0.05)
    assert found.mean_field is not None
    assert found.mean_field.layers == 9
    assert found.mean_field.gain.value == pytest.approx(factor, rel=0.03)
    if factor < 1:
        assert found.mean_field.depth.value == pytest.approx(1 / math.log(2), rel=0.05)
    halves = [one.saturated for one in found.layers if one.kind == "relu"]
    assert all(one is not None and one.value == pytest.approx(0.5, abs=0.08) for one in halves)


def test_the_gain_is_the_mean_squared_singular_value_of_a_step():
    """χ = E‖W diag φ′(z)‖²_F / n_out, from the dense matrix of every sample."""
    weights = gaussian([(7, 5), (6, 7), (3, 6)], 1.7)
    model = deep(weights, nn.Tanh())
    x = torch.randn(9, 5, generator=generator(3), dtype=F64)
    found = studied(model, x, torch.zeros(9, 3, dtype=F64))
    z = x @ weights[0].T
    gains = {one.name: one.gain for one in found.layers if one.gain is not None}
    assert list(gains) == ["2", "4"]
    for name, weight in zip(("2", "4"), weights[1:], strict=True):
        slope = 1 - torch.tanh(z) ** 2
        exact = torch.stack([(weight * row).square().sum() for row in slope]).mean() / len(weight)
        found_gain = gains[name]
        assert found_gain is not None
        assert found_gain.value == pytest.approx(float(exact), rel=1e-10)
        z = torch.tanh(z) @ weight.T


def test_convolutions_have_gains_too():
    model: Any = nn.Sequential(
        nn.Conv2d(2, 3, 3, dtype=F64), nn.ReLU(), nn.Conv2d(3, 4, 3, dtype=F64), nn.Flatten()
    )
    x = torch.randn(5, 2, 7, 7, generator=generator(0), dtype=F64)
    found = studied(model, x, torch.zeros(5, 36, dtype=F64))
    slope = (model[0](x) > 0).double().mean((0, 2, 3))
    squares = model[2].weight.detach().square().sum((0, 2, 3))
    (gain,) = [one.gain for one in found.layers if one.gain is not None]
    assert gain.value == pytest.approx(float(squares @ slope) / 4, rel=1e-10)


@pytest.mark.parametrize("name", ["mlp", "cnn", "residual", "tied", "ragged", "pixels"])
def test_backward_signals_are_those_of_autograd(name):
    """δ = N ∂L/∂h for every module with parameters, from plain hooks on a plain backward pass."""
    problem = CASES[name]()
    subject = problem.subject(dtype="float64")
    samples = samples_of(subject)
    found = {one.name: one for one in activity(samples).layers}
    model = problem.model.double().eval()
    seen: dict[str, list[tuple[Tensor, Tensor]]] = {}
    total = torch.zeros((), dtype=F64)
    for batch in samples.batches:
        kept: dict[str, Tensor] = {}

        def keep(name: str, kept: dict[str, Tensor] = kept):
            def hook(_: nn.Module, given: object, output: Tensor) -> None:
                del given
                output.retain_grad()
                kept.setdefault(name, output)

            return hook

        handles = [
            module.register_forward_hook(keep(key))
            for key, module in model.named_modules()
            if next(module.parameters(recurse=False), None) is not None
        ]
        loss = subject.criterion.total(model(*batch.args, **batch.kwargs), batch.targets)
        loss.backward()
        total += loss.detach()
        for handle in handles:
            handle.remove()
        for key, tensor in kept.items():
            assert tensor.grad is not None
            seen.setdefault(key, []).append((tensor.detach(), tensor.grad))
    assert set(seen) <= set(found)
    for key, pairs in seen.items():
        moments = [
            torch.cat([p[side].square().flatten(1).mean(1) for p in pairs]).mean()
            for side in (0, 1)
        ]
        assert found[key].forward.value == pytest.approx(float(moments[0]), rel=1e-9)
        backward = found[key].backward
        assert backward is not None
        exact = float(moments[1]) * samples.scale**2
        assert backward.value == pytest.approx(exact, rel=1e-9, abs=1e-20)


class Written(nn.Module):
    """Functions instead of modules, one of which writes into its input."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 6, dtype=F64)
        self.second = nn.Linear(6, 6, dtype=F64)
        self.third = nn.Linear(6, 2, dtype=F64)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x), inplace=True)
        return self.third(torch.tanh(self.second(x)))


def test_functions_are_seen_like_modules():
    model = Written()
    for number, parameter in enumerate(model.parameters()):
        parameter.data = torch.randn(parameter.shape, generator=generator(number), dtype=F64)
    x = torch.randn(20, 4, generator=generator(9), dtype=F64)
    found = studied(model, x, torch.zeros(20, 2, dtype=F64))
    assert [one.name for one in found.layers] == ["first", "relu", "second", "tanh", "third"]
    first, relu, second, *_ = found.layers
    assert first.forward.value == pytest.approx(model.first(x).square().mean().item())
    assert relu.forward.value == pytest.approx(model.first(x).relu().square().mean().item())
    assert second.gain is not None
    assert all(one.backward is not None for one in found.layers)


def test_dead_and_saturated_units_are_counted():
    model: Any = deep(gaussian([(10, 4), (2, 10)], 1.0), nn.ReLU())
    model[0] = nn.Linear(4, 10, dtype=F64)
    with torch.no_grad():
        model[0].weight.copy_(gaussian([(10, 4)], 1.0)[0])
        model[0].bias.zero_()
        model[0].bias[:3] = -1e3
    x = torch.randn(50, 4, generator=generator(1), dtype=F64)
    (relu,) = [one for one in studied(model, x, x[:, :2]).layers if one.kind == "relu"]
    assert relu.dead is not None
    assert relu.dead.value == pytest.approx(0.3)
    assert relu.saturated is not None
    assert relu.saturated.value == pytest.approx(float((model[0](x) < 0).double().mean()))

    far: Any = nn.Sequential(nn.Linear(4, 10, dtype=F64), nn.Tanh(), nn.Linear(10, 2, dtype=F64))
    far[0].bias.data.fill_(9.0)
    (tanh,) = [one for one in studied(far, x, x[:, :2]).layers if one.kind == "tanh"]
    assert tanh.dead is not None
    assert tanh.dead.value == tanh.saturated.value == 1.0  # type: ignore[union-attr]


def test_a_module_that_is_called_twice_is_two_layers():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 3, dtype=F64)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(torch.relu(self.layer(x)))

    x = torch.randn(6, 3, generator=generator(1), dtype=F64)
    names = [one.name for one in studied(Twice(), x, x).layers]
    assert names == ["layer", "relu", "layer #2"]


def test_there_is_no_gain_across_normalisation_or_skips():
    found = activity(samples_of(CASES["cnn"]().subject()))
    assert found.mean_field is None
    assert all(one.gain is None for one in found.layers)


def test_frozen_layers_have_signals_but_the_network_is_left_alone():
    problem = CASES["partial"]()
    before = [p.requires_grad for p in problem.model.parameters()]
    found = activity(samples_of(problem.subject()))
    assert [p.requires_grad for p in problem.model.parameters()] == before
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in problem.model.modules())
    assert all(one.backward is not None for one in found.layers if "unused" not in one.name)


def test_in_train_mode_no_sampling_is_claimed():
    """Samples that a batch normalises together are not draws of their own."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))
    data = [(torch.randn(20, 4), torch.randint(3, (20,)))]
    answer = ls.Gradients.preset("quick").run(ls.Subject(model, "ce", data, mode="train"))
    for layer in answer.signals:
        assert layer.forward.interval == (layer.forward.value, layer.forward.value)
