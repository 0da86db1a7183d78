"""Activation matching against planted permutations, and assignments found by brute force."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from landscape.errors import SettingError
from landscape.subject.files.checkpoint import Checkpoint
from landscape.subject.point import Point
from landscape.subject.subject import Subject
from landscape.symmetry import responses as module
from landscape.symmetry.activation_matching import match_activations
from landscape.symmetry.groups import Symmetry, infer
from landscape.symmetry.responses import Site, correlations, sites
from tests.cases import Multihead, Residual, Transformer, normal, seeded, with_statistics
from tests.oracles import generator

SAMPLES = 60


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 5), nn.GELU(), nn.Linear(5, 3))


def convolutional() -> nn.Module:
    first = [nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True)]
    second = [nn.Conv2d(6, 6, 3, groups=6), nn.ConvTranspose2d(6, 5, 2), nn.ReLU(inplace=True)]
    return with_statistics(nn.Sequential(*first, *second, nn.Flatten(), nn.Linear(125, 3)))


def residual() -> nn.Module:
    return with_statistics(Residual())


class Problem:
    """Two networks of one kind on the same data."""

    def __init__(self, build: Any, data: list[Any]) -> None:
        models = [seeded(build, seed).double() for seed in (1, 2)]
        ends = [Checkpoint.of_model(one) for one in models]
        self.subject = Subject(models[0], "ce", data, ends, device="cpu", dtype="float64")
        self.network = self.subject.network
        self.a, self.b = (self.subject.point_of(one) for one in self.subject.checkpoints)
        self.symmetry: Symmetry = infer(self.subject)
        assert self.subject.batches is not None
        self.batches = self.subject.batches

    def match(self, a: Point, b: Point) -> Any:
        return match_activations(
            self.subject, self.symmetry, a, b, self.batches, generator=generator(0)
        )

    def permuted(self, permutation: Any, point: Point) -> Point:
        return self.network.point(self.symmetry.apply(permutation, self.network.tensors(point)))


def vectors(*shape: int, sizes: tuple[int, ...] = (20, 33, 7)) -> list[Any]:
    inputs = normal(SAMPLES, *shape, seed=3).double()
    return list(zip(inputs.split(sizes), (torch.arange(SAMPLES) % 3).split(sizes), strict=True))


def tokens(length: int, vocabulary: int) -> list[Any]:
    drawn = torch.randint(vocabulary, (SAMPLES, length), generator=generator(4))
    return [(drawn[:30], drawn[:30]), (drawn[30:], drawn[30:])]


PROBLEMS: dict[str, Any] = {
    "mlp": lambda: Problem(small, vectors(5)),
    "cnn": lambda: Problem(convolutional, vectors(1, 8, 8)),
    "residual": lambda: Problem(residual, vectors(1, 8, 8)),
    "tied transformer": lambda: Problem(Transformer, tokens(6, 7)),
    "multihead attention": lambda: Problem(Multihead, tokens(5, 6)),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_planted_permutation_is_recovered(name: str):
    problem = PROBLEMS[name]()
    planted = problem.symmetry.random(generator(5))
    moved = problem.permuted(planted, problem.a)
    found = problem.match(problem.a, moved)
    back = problem.network.tensors(problem.permuted(found.permutation, moved))
    for tensor, values in problem.network.tensors(problem.a).items():
        torch.testing.assert_close(back[tensor], values, rtol=0, atol=0, msg=tensor)
    assert found.permutation.recovered(planted.inverse()) == 1
    assert found.objective > 0.9  # a silent unit correlates with nothing
    assert found.objective > found.before + 0.1


def test_every_group_is_the_best_of_all_permutations():
    """Against brute force over all orders, with correlations by NumPy on all data at once."""
    problem = PROBLEMS["mlp"]()
    found = problem.match(problem.a, problem.b)
    x = torch.cat([batch.args[0] for batch in problem.batches])
    hidden: list[list[tuple[Tensor, Tensor]]] = []
    for point in (problem.a, problem.b):
        t = problem.network.tensors(point)
        before = F.linear(x, t["0.weight"], t["0.bias"])
        after = F.linear(before.tanh(), t["2.weight"], t["2.bias"])
        hidden.append([(before, before.tanh()), (after, F.gelu(after))])
    paired = []
    for ours, theirs, group in zip(*hidden, problem.symmetry.groups, strict=True):
        size = group.size
        each = [np.corrcoef(a.T, b.T)[:size, size:] for a, b in zip(ours, theirs, strict=True)]
        total = sum(each, np.zeros((size, size)))
        best = max(permutations(range(size)), key=lambda p: total[range(size), p].sum())
        assert found.permutation.orders[group.name].tolist() == list(best)
        paired += [one[range(size), best] for one in each]
    assert found.objective == pytest.approx(np.concatenate(paired).mean())


def test_positions_are_samples_too_and_ragged_batches_weigh_what_they_hold():
    problem = PROBLEMS["cnn"]()
    place = ("3.weight", 0)
    site = Site(module="3", side="output", axis=1)
    found = correlations(problem.subject, {place: site}, problem.a, problem.b, problem.batches)
    seen = []
    for point in (problem.a, problem.b):
        model: Any = convolutional().double().eval()
        model.load_state_dict(problem.network.tensors(point))
        x = torch.cat([batch.args[0] for batch in problem.batches])
        with torch.no_grad():
            seen.append(model[:4](x).movedim(1, 0).flatten(1).numpy())
    np.testing.assert_allclose(found[place], np.corrcoef(*seen)[:6, 6:], atol=1e-10)


def test_few_positions_of_large_pictures_are_enough(monkeypatch: Any):
    monkeypatch.setattr(module, "POSITIONS", 5)
    problem = PROBLEMS["cnn"]()
    planted = problem.symmetry.random(generator(5))
    found = problem.match(problem.a, problem.permuted(planted, problem.a))
    assert found.permutation.recovered(planted.inverse()) == 1


def test_units_are_seen_before_and_after_the_nonlinearity_and_never_on_a_longer_axis():
    """In the flattened input of the last layer a channel is 25 features: too long an axis."""
    problem = PROBLEMS["cnn"]()
    found = sites(problem.subject, problem.symmetry, problem.a, problem.batches)
    assert {place: (one.module, one.side) for place, one in found.items()} == {
        ("0.weight", 0): ("0", "output"),
        ("3.weight", 0): ("3", "output"),  # depthwise: its second axis has length one
        ("4.weight", 0): ("4", "input"),  # transposed: its first axis takes them in
        ("4.weight", 1): ("4", "output"),
    }


def test_silent_units_are_told_apart_before_the_nonlinearity():
    def silent() -> nn.Module:
        model: Any = small()
        model[3] = nn.ReLU()
        model[2].bias.data[:3] = -100
        return model

    problem = Problem(silent, vectors(5))
    planted = problem.symmetry.random(generator(5))
    found = problem.match(problem.a, problem.permuted(planted, problem.a))
    assert found.permutation.recovered(planted.inverse()) == 1


def test_what_no_module_shows_is_matched_by_weights():
    """Inside `nn.MultiheadAttention` no linear layer is called."""
    problem = PROBLEMS["multihead attention"]()
    found = sites(problem.subject, problem.symmetry, problem.a, problem.batches)
    unseen = [g.name for g in problem.symmetry.groups if not set(g.places) & found.keys()]
    assert unseen
    assert not any("attention.out_proj" in tensor for tensor, _ in found)


def test_a_network_without_layers_is_matched_by_weights_alone():
    class Bare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Parameter(torch.randn(6, 5))
            self.last = nn.Parameter(torch.randn(3, 6))

        def forward(self, x: Tensor) -> Tensor:
            return torch.tanh(x @ self.first.T) @ self.last.T

    problem = Problem(Bare, vectors(5))
    assert not sites(problem.subject, problem.symmetry, problem.a, problem.batches)
    planted = problem.symmetry.random(generator(5))
    found = problem.match(problem.a, problem.permuted(planted, problem.a))
    assert found.permutation.recovered(planted.inverse()) == 1
    assert found.objective == 0  # no correlation was measured


def test_networks_are_left_alone_and_data_must_be_there():
    problem = PROBLEMS["mlp"]()
    before = {n: t.clone() for n, t in problem.network.model.state_dict().items()}
    with pytest.raises(SettingError, match="no batches"):
        match_activations(
            problem.subject, problem.symmetry, problem.a, problem.b, [], generator=generator(0)
        )
    problem.match(problem.a, problem.b)
    assert not any(one._forward_pre_hooks for one in problem.network.model.modules())
    for name, tensor in problem.network.model.state_dict().items():
        assert torch.equal(tensor, before[name])


class Weighing(nn.Module):
    """Computes the weights of a layer by another, which sees no samples."""

    def __init__(self) -> None:
        super().__init__()
        self.code, self.maker = nn.Parameter(torch.randn(4)), nn.Linear(4, 30)
        self.middle, self.last = nn.Linear(6, 7), nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.maker(self.code).view(6, 5)
        return self.last(self.middle(F.linear(x, weight).relu()).relu())


def test_what_is_computed_without_samples_is_matched_by_weights() -> None:
    inputs = normal(SAMPLES, 5, seed=3).double()
    problem = Problem(Weighing, [(inputs, torch.arange(SAMPLES) % 3)])
    shown = sites(problem.subject, problem.symmetry, problem.a, problem.batches)
    assert {one.module for one in shown.values()} == {"middle", "last"}
    order = problem.symmetry.random(generator(1))
    found = problem.match(problem.a, problem.permuted(order, problem.a))
    assert found.permutation.recovered(order.inverse()) == 1
