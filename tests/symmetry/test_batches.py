"""What one batch does not use, another may: groups hold for all the data."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from landscape.errors import ModelError
from landscape.subject.subject import Subject
from landscape.symmetry.groups import Symmetry, infer
from landscape.symmetry.proof import Proof, prove, random_tensors
from landscape.symmetry.samples import MANY, SHAPES, SPREAD, by_shape, spread
from tests.cases import labels, normal, seeded
from tests.oracles import generator, relative

Build = Callable[[], nn.Module]


class Reading(nn.Module):
    """Reads one matrix for each place of a sequence, as far as it goes."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 6)
        self.matrices = nn.Parameter(torch.randn(9, 6, 5))

    def taken(self, length: int) -> list[Tensor]:
        return [self.matrices[i] for i in range(length)]

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x).relu()
        taken = self.taken(x.shape[1])
        parts = [hidden[:, i] @ matrix for i, matrix in enumerate(taken[: x.shape[1]])]
        return torch.stack(parts).sum(0)


class Unbound(Reading):
    def taken(self, length: int) -> list[Tensor]:
        return list(self.matrices.unbind(0))


class Looked(Reading):
    """Takes more than it uses."""

    def taken(self, length: int) -> list[Tensor]:
        return [self.matrices[i] * 2 for i in range(9)]


class Chunked(Reading):
    def taken(self, length: int) -> list[Tensor]:
        chunks = self.matrices.split(3)
        return [chunks[i // 3][i % 3] for i in range(length)]


class Placed(nn.Module):
    """Adds one vector for each place of a sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 6), nn.Linear(6, 5)
        self.vectors = nn.Parameter(torch.randn(9, 6))

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.first(x[:, i]) + self.vectors[i] for i in range(x.shape[1])]
        return self.last(torch.stack(parts, 1).relu().mean(1))


class ByLength(nn.Module):
    """Has a head of its own for short sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.long, self.short = nn.Linear(4, 6), nn.Linear(6, 5), nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x).relu().mean(1)
        return self.long(hidden) if x.shape[1] > 5 else self.short(hidden)


def subject(build: Build, inputs: list[Tensor], loss: Any = "ce") -> Subject:
    data = [(x, labels(len(x), classes=5, seed=i)) for i, x in enumerate(inputs)]
    return Subject(seeded(build, 1), loss, data, device="cpu")


def change(one: Subject, symmetry: Symmetry, inputs: Tensor) -> float:
    """How far a random permutation moves the outputs of a random network, by the model itself."""
    assert one.model is not None
    tensors = random_tensors(one, symmetry, generator(3))
    moved = symmetry.apply(symmetry.random(generator(4)), tensors)
    model = copy.deepcopy(one.model).double().eval()
    with torch.no_grad():
        before, after = (functional_call(model, t, (inputs.double(),)) for t in (tensors, moved))
    return relative(after - before, before)


@pytest.mark.parametrize("build", [Reading, Unbound, Looked, Chunked, Placed, ByLength])
@pytest.mark.parametrize("short", [4, 3])
def test_every_shape_of_the_data_is_read(build: Build, short: int) -> None:
    lengths = (short, 9)
    one = subject(build, [normal(6, length, 4, seed=length) for length in lengths])
    symmetry = infer(one)
    assert "first.weight:0" in [group.name for group in symmetry.groups]
    assert prove(one, symmetry, generator(1)).error < 1e-13
    assert all(change(one, symmetry, normal(5, n, 4, seed=7)) < 1e-13 for n in lengths)


@pytest.mark.parametrize("build", [Reading, Unbound, Looked, Placed])
def test_pieces_that_no_batch_takes_stay(build: Build) -> None:
    one = subject(build, [normal(6, 3, 4, seed=1)])
    symmetry = infer(one)
    name = "vectors" if build is Placed else "matrices"
    tensors = random_tensors(one, symmetry, generator(1))
    moved = symmetry.apply(symmetry.random(generator(2)), tensors)[name]
    assert not torch.equal(moved[:3], tensors[name][:3])
    assert torch.equal(moved[3:], tensors[name][3:])
    beyond = [each for each in symmetry.frozen if each.tensor == name]
    assert any(each.reason == "not used for this batch" for each in beyond)
    width = tensors[name][0].numel()
    total = sum(t.numel() for t in tensors.values())
    still = 6 * width + (0 if build is not Placed else 5)  # and the last layer's biases
    assert symmetry.moved_share == pytest.approx(1 - still / total, abs=1e-12)


def test_chunks_that_no_batch_takes_stay() -> None:
    symmetry = infer(subject(Chunked, [normal(6, 3, 4, seed=1)]))
    assert all(("matrices", 0) not in group.places for group in symmetry.groups)


class ByValue(nn.Module):
    """Has a head for what is mostly positive, and one for the rest."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.one, self.other = nn.Linear(4, 6), nn.Linear(6, 5), nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x).relu()
        return self.one(hidden) if x.mean() > 0 else self.other(hidden)


def test_branches_by_values_are_read_from_many_batches() -> None:
    one = subject(ByValue, [normal(6, 4, seed=1) + shift for shift in (3, 3, 3, -3)])
    symmetry = infer(one)
    assert symmetry.route == "trace"
    assert [group.size for group in symmetry.groups] == [6]
    assert prove(one, symmetry, generator(1)).error < 1e-13
    assert all(change(one, symmetry, normal(5, 4, seed=7) + shift) < 1e-13 for shift in (3, -3))


class Routed(nn.Module):
    """Sends each sample to one of its experts."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.gate = nn.Linear(4, 6), nn.Linear(4, 5)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(6, 7), nn.ReLU(), nn.Linear(7, 6)) for _ in range(5)
        )
        self.last = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        y, choice = self.first(x), self.gate(x).argmax(-1)
        for number, expert in enumerate(self.experts):
            mask = choice == number
            if mask.any():
                y = y + mask[:, None] * expert(y)
        return self.last(y)


def test_routed_experts_are_met(capfd: pytest.CaptureFixture[str]) -> None:
    one = subject(Routed, [normal(200, 4, seed=seed) for seed in (1, 2)])
    symmetry = infer(one)
    assert sorted(group.size for group in symmetry.groups) == [6, 7, 7, 7, 7, 7]
    assert prove(one, symmetry, generator(1)).error < 1e-13
    assert capfd.readouterr() == ("", "")  # exporters have their say elsewhere


def test_an_expert_that_no_sample_meets_is_refused_by_the_proof() -> None:
    """At random weights samples go elsewhere, to an expert whose ties are not known."""
    one = subject(Routed, [normal(3, 4, seed=1)])
    symmetry = infer(one)

    def proofs() -> list[Proof]:
        return [prove(one, symmetry, generator(seed)) for seed in range(5)]

    with pytest.raises(ModelError, match="changes the network's function"):
        proofs()


def test_a_few_batches_stand_for_all() -> None:
    one = subject(ByLength, [normal(6, 2 + i % 17, 4, seed=i) for i in range(40)])
    lengths = [batch.args[0].shape[1] for batch in by_shape(one)]
    assert len(lengths) == SHAPES
    assert (min(lengths), max(lengths)) == (2, 18)
    many = subject(ByValue, [normal(100 + i, 4, seed=i) for i in range(40)])
    found = spread(many)
    assert len(found) == SPREAD
    assert all(batch.samples == MANY for batch in found)


def test_held_out_batches_are_read_too() -> None:
    short, long = ((normal(6, n, 4, seed=n), labels(6, classes=5, seed=n)) for n in (3, 9))
    data = {"train": [short], "held_out": [long]}
    one = Subject(seeded(ByLength, 1), "ce", data, device="cpu")
    symmetry = infer(one)
    assert [group.size for group in symmetry.groups] == [6]
    assert change(one, symmetry, long[0]) < 1e-13


def test_a_last_batch_of_one_sample_is_no_other_shape() -> None:
    one = subject(ByValue, [normal(1, 4, seed=1), normal(6, 4, seed=2), normal(1, 4, seed=3)])
    assert [batch.samples for batch in by_shape(one)] == [6]
