"""Signals: against autograd, closed forms and planted dead units."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from landscape.recorder.recorder import Recorder
from tests.cases import normal, seeded
from tests.recorder.runs import cnn, history, image_loss, mlp, sgd


def first_signals(model: nn.Module, *batches: tuple[Tensor, Tensor]) -> dict[str, dict[str, float]]:
    optimizer = sgd(model)
    with Recorder(model, optimizer, quiet=True) as recorder:
        for inputs, labels in batches:
            F.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
    return recorder.log().of("detail")[0]["signals"]


def test_second_moments_are_those_of_autograd():
    model = mlp()
    batches = [(normal(n, 5, seed=n), torch.arange(n) % 3) for n in (16, 9)]
    found = first_signals(mlp(), *batches)
    places = [0, 2, 4, 6]
    sums = {place: [0.0, 0.0, 0] for place in places}
    for inputs, labels in batches:
        x, kept = inputs, {}
        for place, layer in enumerate(model):
            x = layer(x)
            if place in places:
                kept[place] = x
        gradients = torch.autograd.grad(F.cross_entropy(x, labels), list(kept.values()))
        for place, gradient in zip(places, gradients, strict=True):
            sums[place][0] += float(kept[place].detach().double().square().sum())
            sums[place][1] += float(gradient.double().square().sum())
            sums[place][2] += gradient.numel()
    for place in places:
        forward, backward, count = sums[place]
        assert found[str(place)]["forward"] == pytest.approx(forward / count, rel=1e-5)
        assert found[str(place)]["backward"] == pytest.approx(backward / count, rel=1e-5)


def test_dead_and_saturated_units():
    model = nn.Sequential(nn.Linear(4, 10), nn.ReLU(), nn.Linear(10, 6), nn.Tanh(), nn.Linear(6, 3))
    with torch.no_grad():
        model.get_parameter("0.bias")[:3] = -100.0  # three units of ten never answer
        model.get_parameter("0.bias")[3:] = 10.0
        model.get_parameter("2.weight").zero_()
        model.get_parameter("2.bias").copy_(torch.tensor([0.0, 0.0, 5.0, 5.0, -5.0, 0.1]))
    found = first_signals(model, (normal(8, 4, seed=0), torch.arange(8) % 3))
    assert found["2"]["dead"] == pytest.approx(0.3)
    assert "dead" not in found["0"]  # what it is fed is data
    assert found["3"]["saturated"] == pytest.approx(0.5)
    assert found["4"]["dead"] == pytest.approx(2 / 6)


def test_a_unit_is_dead_only_if_it_is_in_every_micro_batch():
    model = nn.Sequential(nn.Linear(1, 2, bias=False), nn.ReLU(), nn.Linear(2, 3))
    with torch.no_grad():
        model.get_parameter("0.weight").copy_(torch.tensor([[1.0], [-1.0]]))
    up, down = torch.ones(4, 1), -torch.ones(4, 1)
    labels = torch.zeros(4, dtype=torch.long)
    assert first_signals(model, (up, labels))["2"]["dead"] == 0.5
    assert first_signals(model, (up, labels), (down, labels))["2"]["dead"] == 0.0


def test_dead_channels_of_a_convolution_behind_an_in_place_activation():
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 2, 3), nn.Flatten()
    )
    with torch.no_grad():
        model.get_parameter("0.bias")[1] = -1e3
        model.get_parameter("0.bias")[[0, 2, 3]] = 1e2
    found = first_signals(model, (normal(5, 3, 5, 5, seed=0), torch.arange(5) % 2))
    assert found["2"]["dead"] == pytest.approx(0.25)


@pytest.mark.parametrize(("variance", "factor"), [(2.0, 1.0), (1.0, 0.5)])
def test_he_initialisation_keeps_the_second_moment(variance, factor):
    """q_l of a ReLU network without biases changes by σ_w² / 2 a layer; at 2 it stays."""
    width, depth = 512, 10

    def build() -> nn.Sequential:
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers += [nn.Linear(width, width, bias=False), nn.ReLU()]
        return nn.Sequential(*layers)

    forward = []
    for seed in range(4):
        model = seeded(build, seed)
        with torch.no_grad():
            for number, layer in enumerate(model):
                if isinstance(layer, nn.Linear):
                    layer.weight.copy_(normal(width, width, seed=100 * seed + number))
                    layer.weight.mul_(math.sqrt(variance / width))
        optimizer = sgd(model)
        with Recorder(model, optimizer, quiet=True) as recorder:
            model(normal(64, width, seed=seed)).square().mean().backward()
            optimizer.step()
        forward.append(history(recorder).signals["forward"][0])
    growth = np.log(forward).mean(axis=0)
    measured = float((growth[-1] - growth[0]) / (depth - 1))
    assert measured == pytest.approx(math.log(factor), abs=0.05)


def test_a_gradient_penalty_is_counted_once():
    """What `autograd.grad` sends through the network is no signal of the whole loss."""
    model = nn.Sequential(nn.Linear(4, 4), nn.Softplus(), nn.Linear(4, 1))
    inputs = normal(8, 4, seed=0).requires_grad_()

    def penalised() -> tuple[Tensor, Tensor]:
        out = model(inputs)
        loss = out.square().mean()
        (slope,) = torch.autograd.grad(loss, inputs, create_graph=True)
        return out, loss + 10 * slope.square().sum()

    out, whole = penalised()
    (expected,) = torch.autograd.grad(whole, out)
    optimizer = sgd(model)
    with Recorder(model, optimizer, quiet=True) as recorder:
        penalised()[1].backward()
        optimizer.step()
    found = recorder.log().of("detail")[0]["signals"]["2"]["backward"]
    assert found == pytest.approx(float(expected.square().mean()), rel=1e-5)


def test_modules_are_in_the_order_of_their_calls():
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last, self.first = nn.Linear(4, 3), nn.Linear(5, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(torch.tanh(self.first(x)))

    model = Backwards()
    optimizer = sgd(model)
    with Recorder(model, optimizer, quiet=True) as recorder:
        model(normal(2, 5, seed=0)).sum().backward()
        optimizer.step()
    one = history(recorder)
    assert one.modules == ("first", "last")
    assert dict(zip(one.names, one.depth, strict=True))["first.weight"] == 0


def test_every_step_in_detail_on_a_network_with_normalisation():
    model = cnn()
    optimizer = sgd(model)
    with Recorder(model, optimizer, details_every=1, quiet=True) as recorder:
        for step in range(5):
            optimizer.zero_grad()
            image_loss(model, step).backward()
            optimizer.step()
    one = history(recorder)
    assert len(one.detailed) == 5
    assert one.modules == ("0", "1", "3", "4", "8")
    assert (one.signals["backward"] > 0).all()
