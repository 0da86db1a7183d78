"""Groups against networks run with permuted weights, and against enumeration on small ones."""

from __future__ import annotations

import copy
from collections import Counter
from itertools import permutations
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from landscape.errors import ModelError, SettingError
from landscape.subject.subject import Subject
from landscape.symmetry import groups
from landscape.symmetry.groups import Symmetry, infer
from landscape.symmetry.proof import prove, random_tensors
from landscape.symmetry.rules import RULES
from tests.cases import labels, normal, seeded
from tests.oracles import generator, relative
from tests.symmetry.networks import CASES, Case, Language


def run(model: nn.Module, tensors: dict[str, Tensor], inputs: Tensor) -> Tensor:
    """The user's own way: weights loaded into a copy of the model, called in eval mode."""
    own = copy.deepcopy(model).double().eval()
    own.load_state_dict(tensors, strict=False)
    with torch.no_grad():
        return own(inputs.double() if inputs.is_floating_point() else inputs)


def inferred(model: nn.Module, inputs: Tensor, targets: Tensor) -> Symmetry:
    return infer(Subject(model, "ce", [(inputs, targets)], device="cpu"))


def kinds(symmetry: Symmetry) -> tuple[int, ...]:
    found = Counter(group.kind for group in symmetry.groups)
    return tuple(found[kind] for kind in ("plain", "heads", "inner"))


@pytest.mark.parametrize("name", CASES)
def test_groups_are_all_there_and_preserve_the_function(name: str) -> None:
    case = CASES[name]
    subject = case.subject()
    symmetry = infer(subject)
    assert kinds(symmetry) == case.kinds
    assert not symmetry.unknown
    assert symmetry.route == "export"
    assert prove(subject, symmetry, generator(4)).error < 1e-13
    tensors = random_tensors(subject, symmetry, generator(5))
    order = symmetry.random(generator(6))
    moved = symmetry.apply(order, tensors)
    assert any(not torch.equal(moved[name], tensors[name]) for name in tensors)
    assert subject.model is not None
    before, after = (run(subject.model, t, case.inputs()) for t in (tensors, moved))
    assert relative(after - before, before) < 1e-13
    back = symmetry.apply(order.inverse(), moved)
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)


def test_running_statistics_move_with_their_channels() -> None:
    subject = CASES["conv, flatten, linear"].subject()
    symmetry = infer(subject)
    assert symmetry.statistics == ("1.running_mean", "1.running_var")
    tensors = random_tensors(subject, symmetry, generator(1))
    order = symmetry.random(generator(2))
    moved = symmetry.apply(order, tensors)
    own = order.orders["0.weight:0"]
    assert torch.equal(moved["1.running_var"], tensors["1.running_var"][own])
    assert torch.equal(moved["1.bias"], tensors["1.bias"][own])
    assert torch.equal(
        moved["5.weight"].view(6, 5, 9),
        tensors["5.weight"].view(6, 5, 9)[order.orders["5.weight:0"]][:, own],
    )


def preserving(subject: Subject, moves: Any, inputs: Tensor, size: int) -> int:
    """How many of all permutations of one axis preserve the outputs."""
    assert subject.model is not None
    tensors = random_tensors(subject, infer(subject), generator(7))
    before = run(subject.model, tensors, inputs)
    count = 0
    for order in permutations(range(size)):
        moved = dict(tensors)
        for name, axis in moves:
            moved[name] = moved[name].index_select(axis, torch.tensor(order))
        count += relative(run(subject.model, moved, inputs) - before, before) < 1e-9
    return count


def small(layout: str) -> Case:
    return Case(lambda: Tiny(layout), (3,), (0, 0, 0), tokens=True)


class Tiny(Language):
    """Two heads of two dimensions."""

    def __init__(self, layout: str) -> None:
        super().__init__(width=8)
        self.attention = type(self.attention)(8, 2, 2, layout, False)
        self.attention.size = 2
        for name, rows, columns in [("q", 4, 8), ("k", 4, 8), ("v", 4, 8), ("out", 8, 4)]:
            setattr(self.attention, name, nn.Linear(columns, rows))
        self.attention.forward = self.attend  # pyright: ignore[reportAttributeAccessIssue]

    def attend(self, x: Tensor) -> Tensor:
        q, k, v = self.attention.project(x)
        y = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.attention.out(y.transpose(1, 2).flatten(2))


def test_no_permutation_of_values_is_missed() -> None:
    case = small("separate")
    subject = case.subject()
    moves = [("attention.v.weight", 0), ("attention.v.bias", 0), ("attention.out.weight", 1)]
    # within each of two heads the two dimensions may be swapped; the heads themselves may not,
    # for queries and keys stay where they are
    assert preserving(subject, moves, case.inputs(), 4) == 4
    more = [(f"attention.{x}.{kind}", 0) for x in "qk" for kind in ("weight", "bias")]
    assert preserving(subject, [*moves, *more], case.inputs(), 4) == 8
    found = {group.name: group for group in infer(subject).groups}
    heads = found["attention.q.weight:0"]
    inner = [group for group in found.values() if group.outers == (heads.name,)]
    assert (heads.size, [group.size for group in inner]) == (2, [2, 2])


class Sorted(nn.Module):
    """Sorts its hidden units: the order of their values, not of the units, counts."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(4, 5), nn.Linear(5, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.third(self.second(self.first(x).relu().sort(-1).values).relu())


def test_an_unknown_operation_freezes_what_it_touches() -> None:
    symmetry = inferred(Sorted(), normal(4, 4, seed=1), labels(4, classes=3, seed=1))
    assert symmetry.unknown == {"sort": ("sort",)}
    assert [group.name for group in symmetry.groups] == ["second.weight:0"]
    reasons = {(each.tensor, each.axis): each.reason for each in symmetry.frozen}
    assert reasons["first.weight", 0] == "unknown operation sort"
    assert reasons["first.weight", 1] == "input"
    assert reasons["third.bias", 0] == "output"


class Aside(nn.Module):
    """Holds a layer that forward does not use, and a constant that it does."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused, self.last = nn.Linear(4, 5), nn.Linear(7, 6), nn.Linear(5, 3)
        self.register_buffer("scale", torch.arange(5.0))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.used(x).relu() * self.scale)


def test_constants_and_unused_layers_stay() -> None:
    symmetry = inferred(Aside(), normal(4, 4, seed=1), labels(4, classes=3, seed=1))
    assert symmetry.groups == ()
    assert symmetry.moved_share == 0
    reasons = {each.tensor: each.reason for each in symmetry.frozen}
    assert reasons["unused.weight"] == "not used in the forward"
    assert reasons["scale"] == "a constant of the network"


def test_share_of_weights_that_move() -> None:
    symmetry = infer(CASES["mlp"].subject())
    total = 4 * 9 + 9 + 9 * 7 + 7 + 7 * 3 + 3
    assert symmetry.moved_share == pytest.approx((total - 3) / total, rel=1e-12)


def test_equal_sizes_are_not_taken_for_equal_units() -> None:
    def square() -> nn.Module:
        return nn.Sequential(*(nn.Linear(5, 5) for _ in range(3)))

    symmetry = inferred(seeded(square, 1), normal(5, 5, seed=1), labels(5, classes=5, seed=1))
    assert [group.places for group in symmetry.groups] == [
        (("0.weight", 0), ("0.bias", 0), ("1.weight", 1)),
        (("1.weight", 0), ("1.bias", 0), ("2.weight", 1)),
    ]


def test_without_data_there_is_no_graph() -> None:
    with pytest.raises(SettingError, match="no data"):
        infer(Subject(nn.Linear(2, 2), "ce"))


def test_positions_beyond_this_batch_stay() -> None:
    case = CASES["unbind"]
    shorter = Case(case.build, (4,), case.kinds, tokens=True)
    symmetry = infer(shorter.subject())
    assert kinds(symmetry) == case.kinds
    assert all(("places", 1) not in group.places for group in symmetry.groups)


@pytest.mark.parametrize("name", CASES)
def test_every_number_is_moved_once_at_most(name: str) -> None:
    symmetry = infer(CASES[name].subject())
    moving = 0
    for tensor, shape in symmetry.shapes.items():
        counts = torch.zeros(shape)
        for block in symmetry.blocks.get(tensor, ()):
            block.view(counts).add_(1)
        assert counts.max() <= 1
        moving += int(counts.sum()) if tensor not in symmetry.statistics else 0
    model = CASES[name].build()
    whole = sum(one.numel() for one in model.parameters())
    assert symmetry.moved_share == pytest.approx(moving / whole, rel=1e-12)


class Noisy(nn.Module):
    """Drops units at random, in eval mode as well."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(nn.functional.dropout(self.first(x), training=True))


def test_units_that_draw_for_themselves_stay() -> None:
    symmetry = inferred(Noisy(), normal(4, 4, seed=1), labels(4, classes=3, seed=1))
    assert symmetry.unknown == {"dropout": ("dropout",)}
    assert symmetry.groups == ()


@pytest.mark.parametrize("error", [ZeroDivisionError, ValueError, RecursionError])
def test_a_rule_that_fails_freezes_what_it_touches(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fails(*_: object) -> object:
        raise error

    monkeypatch.setitem(RULES, "tanh", fails)
    symmetry = infer(CASES["mlp"].subject())
    assert symmetry.unknown == {"tanh": ("tanh in 4",)}
    assert [group.size for group in symmetry.groups] == [9]


def test_memory_that_runs_out_in_a_rule_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> object:
        raise MemoryError

    monkeypatch.setitem(RULES, "tanh", fails)
    with pytest.raises(MemoryError):
        infer(CASES["mlp"].subject())


def test_a_defect_is_told_as_what_could_not_be_done(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> object:
        raise KeyError("an atom")

    monkeypatch.setattr(groups, "outers", fails)
    with pytest.raises(ModelError, match="could not be worked out") as caught:
        infer(CASES["mlp"].subject())
    assert "KeyError" in caught.value.why


def test_the_same_groups_every_time() -> None:
    first, second = (infer(CASES["unbind"].subject()) for _ in range(2))
    assert first == second
