"""Matching against planted permutations, and assignments against enumeration."""

from __future__ import annotations

from itertools import permutations, product

import pytest
import torch
from torch import Tensor, nn

from landscape.subject.subject import Subject
from landscape.symmetry.assignment import assign, assigned
from landscape.symmetry.groups import Symmetry, infer
from landscape.symmetry.permutation import Permutation
from landscape.symmetry.proof import random_tensors
from landscape.symmetry.weight_matching import match_weights
from tests.cases import labels, normal, seeded
from tests.oracles import generator, relative
from tests.symmetry.networks import CASES


def planted(
    symmetry: Symmetry, tensors: dict[str, Tensor], noise: float
) -> tuple[dict[str, Tensor], Permutation]:
    """A permuted copy with noise in units of each tensor's deviation, and what was done to it."""
    order = symmetry.random(generator(8))
    draws = generator(9)
    moved = symmetry.apply(order, tensors)
    for name, tensor in moved.items():
        if tensor.is_floating_point() and tensor.numel() > 1 and noise:
            drawn = torch.randn(tensor.shape, generator=draws, dtype=tensor.dtype)
            moved[name] = tensor + noise * tensor.std() * drawn
    return moved, order


@pytest.mark.parametrize("noise", [0.0, 0.3])
@pytest.mark.parametrize("name", CASES)
def test_planted_permutations_are_recovered(name: str, noise: float) -> None:
    subject = CASES[name].subject()
    symmetry = infer(subject)
    tensors = random_tensors(subject, symmetry, generator(1))
    b, order = planted(symmetry, tensors, noise)
    found = match_weights(symmetry, tensors, b, generator=generator(2), restarts=10)
    assert found.permutation.recovered(order.inverse()) >= 0.99
    assert found.objective == max(found.restarts)
    if noise == 0:
        assert found.objective == pytest.approx(1, abs=1e-9)
        back = symmetry.apply(found.permutation, b)
        assert all(torch.equal(back[name], tensors[name]) for name in tensors)


def test_widths_of_real_size() -> None:
    def build() -> nn.Module:
        layers = [nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10)]
        return nn.Sequential(*layers)

    data = [(normal(4, 64, seed=1), labels(4, classes=10, seed=1))]
    subject = Subject(seeded(build, 1), "ce", data, device="cpu")
    symmetry = infer(subject)
    tensors = subject.network.tensors(subject.point)
    b, order = planted(symmetry, tensors, 0.5)
    found = match_weights(symmetry, tensors, b, generator=generator(2))
    assert found.permutation.recovered(order.inverse()) >= 0.99
    assert found.before < 0.1 < found.objective


def objective(symmetry: Symmetry, a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    """The formula itself: a mean of cosines, weighted by numbers."""
    names = [name for name in symmetry.blocks if name not in symmetry.statistics]
    cosines = [
        torch.cosine_similarity(a[n].flatten(), b[n].flatten(), 0) * a[n].numel() for n in names
    ]
    return float(sum(cosines)) / sum(a[n].numel() for n in names)


def test_a_perfect_match_ends_the_search_where_a_part_of_a_tensor_is_frozen() -> None:
    subject = CASES["partly shown"].subject()
    symmetry = infer(subject)
    tensors = random_tensors(subject, symmetry, generator(1))
    assert any(symmetry.blocks["first.weight"][0].groups)
    b, _ = planted(symmetry, tensors, 0)
    found = match_weights(symmetry, tensors, b, generator=generator(2), restarts=5)
    assert len(found.restarts) == 1
    assert found.objective == pytest.approx(1, abs=1e-12)
    assert found.before == pytest.approx(objective(symmetry, tensors, b), abs=1e-12)


@pytest.mark.parametrize("name", ["grouped", "unbind", "inverted residual", "enable_gqa"])
def test_independent_networks_come_closer(name: str) -> None:
    subject = CASES[name].subject()
    symmetry = infer(subject)
    a, b = (random_tensors(subject, symmetry, generator(seed)) for seed in (1, 2))
    found = match_weights(symmetry, a, b, generator=generator(3), restarts=3)
    assert found.before == pytest.approx(objective(symmetry, a, b), abs=1e-9)
    moved = symmetry.apply(found.permutation, b)
    assert found.objective == pytest.approx(objective(symmetry, a, moved), abs=1e-9)
    assert found.objective > found.before + 0.05
    better = 0
    for seed in range(200):
        other = symmetry.apply(symmetry.random(generator(seed)), b)
        better += objective(symmetry, a, other) >= found.objective
    assert better == 0
    again = match_weights(symmetry, a, b, generator=generator(3), restarts=3)
    assert again.restarts == found.restarts


def test_only_the_asked_groups_move() -> None:
    subject = CASES["mlp"].subject()
    symmetry = infer(subject)
    a, b = (random_tensors(subject, symmetry, generator(seed)) for seed in (1, 2))
    start = symmetry.random(generator(5))
    found = match_weights(
        symmetry, a, b, generator=generator(3), start=start, only=["2.weight:0"]
    ).permutation.orders
    assert torch.equal(found["0.weight:0"], start.orders["0.weight:0"])
    assert not torch.equal(found["2.weight:0"], start.orders["2.weight:0"])


def test_assignments_are_the_best_of_all() -> None:
    scores = normal(2, 5, 5, seed=1).double()
    for matrix, found in zip(scores, assigned(scores), strict=True):
        best = max(sum(matrix[i, j] for i, j in enumerate(p)) for p in permutations(range(5)))
        assert matrix[torch.arange(5), found].sum() == pytest.approx(float(best), rel=1e-12)
    broken = scores.clone()
    broken[0, 2, :] = torch.nan
    assert sorted(assigned(broken)[0].tolist()) == list(range(5))


def test_heads_are_assigned_by_what_the_assignments_within_them_attain() -> None:
    def deeper() -> nn.Module:
        norm = nn.GroupNorm(3, 9)
        return nn.Sequential(nn.Conv2d(2, 9, 1), norm, nn.Flatten(), nn.Linear(9, 2))

    data = [(normal(4, 2, 1, 1, seed=1), labels(4, classes=2, seed=1))]
    symmetry = infer(Subject(seeded(deeper, 1), "ce", data, device="cpu"))
    assert [group.kind for group in symmetry.groups] == ["heads", "inner"]
    similarity = normal(9, 9, seed=4).double()
    found = assign(symmetry, {("0.weight", 0): similarity}, generator=generator(1))
    eye = torch.eye(9, dtype=torch.float64)
    order = symmetry.axes["0.weight", 0][0]
    rows = order.permuted(order.view(eye), found.orders).reshape(9, 9)
    within = list(permutations(range(3)))
    best = max(
        sum(similarity[3 * h + i, 3 * heads[h] + inner[h][i]] for h in range(3) for i in range(3))
        for heads in permutations(range(3))
        for inner in product(within, repeat=3)
    )
    assert float((similarity * rows).sum()) == pytest.approx(float(best), rel=1e-12)


def test_similarities_move_only_their_own_groups() -> None:
    subject = CASES["mlp"].subject()
    symmetry = infer(subject)
    start = symmetry.random(generator(2))
    order = torch.randperm(9, generator=generator(3))
    similarity = torch.eye(9)[:, order.argsort()]
    found = assign(symmetry, {("0.weight", 0): similarity}, generator=generator(1), start=start)
    assert torch.equal(found.orders["0.weight:0"], order.argsort().argsort())
    assert torch.equal(found.orders["2.weight:0"], start.orders["2.weight:0"])


def test_a_perfect_match_lies_on_the_other_network() -> None:
    subject = CASES["conv, flatten, linear"].subject()
    symmetry = infer(subject)
    tensors = random_tensors(subject, symmetry, generator(1))
    b, _ = planted(symmetry, tensors, 0.0)
    found = match_weights(symmetry, tensors, b, generator=generator(2))
    back = symmetry.apply(found.permutation, b)
    assert all(relative(back[n] - tensors[n], tensors[n]) == 0 for n in symmetry.blocks)
