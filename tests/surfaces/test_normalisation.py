from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from landscape.errors import ModelError
from landscape.linalg.products import norm
from landscape.subject.subject import Subject
from landscape.surfaces.normalisation import gaussian, like_weights
from tests.cases import CASES, normal, seeded
from tests.oracles import generator


def moved(subject: Subject, **settings: Any) -> Tensor:
    direction = gaussian(subject.network, generator(0))
    return like_weights(subject.network, subject.point, direction, **settings)


@pytest.mark.parametrize("name", ["mlp", "cnn", "tied", "multihead", "partial", "frozen"])
def test_filters_are_as_long_as_those_of_the_weights(name):
    """Rows of weights and zero biases, by the plainest loop over tensors."""
    subject = CASES[name]().subject()
    direction = moved(subject)
    own = subject.parameters.split(direction)
    weights = subject.parameters.split(subject.point.theta)
    for block in subject.parameters.blocks:
        d, w = own[block.name].view(block.shape), weights[block.name].view(block.shape)
        if len(block.shape) < 2:
            assert not d.any(), block.name
        elif block.name == "position":
            assert float(d.norm()) == pytest.approx(float(w.norm()), rel=1e-5)
        else:
            for row, weight in zip(d, w, strict=True):
                assert float(row.norm()) == pytest.approx(float(weight.norm()), rel=1e-5)


def test_layers_and_the_whole():
    subject = CASES["mlp"]().subject()
    layers = subject.parameters.split(moved(subject, normalise="layer"))
    weights = subject.parameters.split(subject.point.theta)
    for name, part in layers.items():
        length = norm(weights[name]) if name.endswith("weight") else 0.0
        assert norm(part) == pytest.approx(length, rel=1e-5)
    matrices = torch.cat([part for name, part in weights.items() if name.endswith("weight")])
    assert norm(moved(subject, normalise="none")) == pytest.approx(norm(matrices), rel=1e-5)
    assert norm(moved(subject, normalise="none", biases=True)) == pytest.approx(
        norm(subject.point.theta), rel=1e-5
    )


def test_biases_move_when_they_are_asked_for():
    subject = CASES["mlp"]().subject()
    biases = subject.parameters.split(moved(subject, biases=True))["0.bias"]
    weights = subject.parameters.split(subject.point.theta)["0.bias"]
    assert norm(biases) == pytest.approx(norm(weights), rel=1e-5)


def test_what_a_mask_holds_does_not_move_and_does_not_count():
    problem = CASES["masked"]()
    subject = problem.subject()
    direction = moved(subject)
    (block,) = (one for one in subject.parameters.blocks if one.name == "0.weight")
    kept = problem.masks["0.weight"]
    whole = torch.zeros(8, 5)
    whole[kept] = direction[block.start : block.stop]
    weights = torch.where(kept, problem.model[0].weight.detach(), 0.0)
    assert whole.norm(dim=1).tolist() == pytest.approx(weights.norm(dim=1).tolist(), rel=1e-5)


def test_the_same_draw_for_the_same_shapes():
    """Other names, another mask, another precision: the same numbers."""

    def network() -> nn.Module:
        return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3))

    class Other(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(5, 8), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.two(torch.tanh(self.one(x)))

    data = [(normal(4, 5, seed=0), torch.zeros(4, dtype=torch.long))]
    mask = {"0.weight": torch.rand(8, 5, generator=generator(1)) < 0.5}
    first = Subject(seeded(network, 0), "ce", data, device="cpu")
    masked = Subject(seeded(network, 1), "ce", data, device="cpu", mask=mask)
    other = Subject(seeded(Other, 2), "ce", data, device="cpu", dtype="float64")
    drawn = gaussian(first.network, generator(3))
    assert torch.equal(gaussian(other.network, generator(3)), drawn)
    kept = torch.cat([mask["0.weight"].flatten(), torch.ones(len(drawn) - 40, dtype=torch.bool)])
    assert torch.equal(gaussian(masked.network, generator(3)), drawn[kept])


def test_where_nothing_would_move():
    model = nn.Linear(3, 2)
    nn.init.zeros_(model.weight)
    data = [(normal(4, 3, seed=0), torch.zeros(4, dtype=torch.long))]
    subject = Subject(model, "ce", data, device="cpu")
    with pytest.raises(ModelError, match="nothing would move") as caught:
        moved(subject)
    assert "--biases" in caught.value.hint


def test_rescaled_units_move_alike():
    """D16: W₁ → c W₁, b₁ → c b₁, W₂ → W₂ / c is the same function, and the direction follows."""
    model = seeded(lambda: nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3)), 0).double()
    other: Any = copy.deepcopy(model)
    c = torch.linspace(0.2, 5.0, 8, dtype=torch.float64)
    other[0].weight.data *= c[:, None]
    other[0].bias.data *= c
    other[2].weight.data /= 10.0
    data = [(normal(4, 5, seed=0).double(), torch.zeros(4, dtype=torch.long))]
    one, two = (
        moved(Subject(net, "ce", data, device="cpu", dtype="float64")) for net in (model, other)
    )
    scale = torch.cat([c.repeat_interleave(5), c, torch.full((24,), 0.1), torch.ones(3)])
    assert torch.allclose(two, one * scale, rtol=1e-12)


@pytest.mark.parametrize("older", [False, True])
def test_weight_normalised_units_move_one_by_one(older):
    """W = g v / ‖v‖: v → c v, unit by unit, is the same function, and the direction follows."""
    make = nn.utils.weight_norm if older else nn.utils.parametrizations.weight_norm

    def network() -> Any:
        return nn.Sequential(make(nn.Linear(5, 4)), nn.Tanh(), nn.Linear(4, 3))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the older one is deprecated
        model, other = (seeded(network, 0).double() for _ in range(2))
    name = "0.weight_v" if older else "0.parametrizations.weight.original1"
    c = torch.tensor([0.2, 1.0, 3.0, 9.0], dtype=torch.float64)
    dict(other.named_parameters())[name].data *= c[:, None]
    x = normal(4, 5, seed=0).double()
    assert torch.allclose(other(x), model(x), rtol=1e-12)
    data = [(x, torch.zeros(4, dtype=torch.long))]
    found = []
    for net in (model, other):
        subject = Subject(net, "ce", data, device="cpu", dtype="float64")
        found.append(subject.parameters.split(moved(subject)))
    one, two = (parts.pop(name).view(4, 5) for parts in found)
    assert torch.allclose(two, one * c[:, None], rtol=1e-12)
    own = dict(model.named_parameters())[name]
    assert one.norm(dim=1).tolist() == pytest.approx(own.norm(dim=1).tolist(), rel=1e-10)
    assert [key for key, part in found[0].items() if part.any()] == ["2.weight"], "lengths g stay"
