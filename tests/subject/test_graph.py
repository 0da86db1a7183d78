"""The graph of a forward: by which route, with whose tensors, and without a trace left behind."""

from __future__ import annotations

from collections import UserDict
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from landscape.errors import ModelError
from landscape.subject.graph import exported, module_of
from landscape.subject.losses import CrossEntropy
from landscape.subject.subject import Subject
from landscape.symmetry.groups import infer
from landscape.symmetry.proof import prove
from tests.cases import labels, normal, seeded
from tests.oracles import generator
from tests.subject.test_undisturbed import assert_same, delicate, global_state, state_of


def test_placeholders_are_named_as_in_the_network() -> None:
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 2))
    found = exported(model, (normal(3, 4, seed=1),), {}, CrossEntropy())
    assert found.route == "export"
    expected = {*dict(model.named_parameters()), *dict(model.named_buffers())}
    assert set(found.names.values()) == expected
    calls = [node for node in found.graph.nodes if node.op == "call_function"]
    assert [module_of(node) for node in calls] == ["0", "1", "2"]


class Branching(nn.Module):
    """Takes a branch by the value of what it computes, and a mapping as its input."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, inputs: Tensor, *, scale: Tensor) -> dict[str, Tensor]:
        hidden = self.first(inputs * scale)
        if hidden.square().sum().item() > 1e-3:
            hidden = hidden.relu()
        return {"logits": self.last(hidden)}


def test_branches_on_values_are_traced() -> None:
    model = seeded(Branching, 1)
    inputs = {"inputs": normal(6, 4, seed=1), "scale": torch.ones(4)}
    found = exported(model, (), inputs, CrossEntropy())
    assert found.route == "trace"
    assert set(found.names.values()) == set(dict(model.named_parameters()))
    data = [{**inputs, "labels": labels(6, classes=3, seed=1)}]
    subject = Subject(model, "ce", data, device="cpu")
    symmetry = infer(subject)
    assert symmetry.route == "trace"
    assert [group.size for group in symmetry.groups] == [5]
    assert prove(subject, symmetry, generator(1)).error < 1e-13


@pytest.mark.parametrize("layer", ["conv", "norm", "attention", "embedding"])
def test_traced_operations_have_rules(layer: str) -> None:
    """The trace has lower operations than the export: both must give the same groups."""

    class Traced(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            if layer == "conv":
                self.body = nn.Sequential(
                    nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2),
                    nn.Conv2d(6, 8, 3, groups=2), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                )  # fmt: skip
            elif layer == "norm":
                self.body = nn.Sequential(
                    nn.Linear(8, 8), nn.LayerNorm(8), nn.Tanh(), nn.GroupNorm(2, 8), nn.Softmax(-1)
                )
            elif layer == "embedding":
                self.body = nn.Sequential(nn.Embedding(9, 8), nn.Flatten(), nn.Linear(16, 8))
            else:
                self.body = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
            self.stem, self.last = nn.Linear(8, 8), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            y = self.body(self.stem(x) if layer in ("norm", "attention") else x)
            y = y.mean(1) if layer == "attention" else y
            if value_matters and y.sum().item() == 1234:
                y = y * 2
            return self.last(y)

    shapes = {"conv": (4, 1, 12, 12), "norm": (4, 8), "attention": (4, 3, 8)}
    inputs = normal(*shapes[layer], seed=1) if layer in shapes else labels(4, 2, classes=9, seed=1)
    found = []
    for value_matters in (False, True):
        data = [(inputs, labels(4, classes=3, seed=1))]
        subject = Subject(seeded(Traced, 1), "ce", data, device="cpu")
        symmetry = infer(subject)
        assert symmetry.route == ("trace" if value_matters else "export")
        assert not symmetry.unknown
        assert prove(subject, symmetry, generator(1)).error < 1e-13
        found.append([(group.name, group.size, group.kind) for group in symmetry.groups])
    assert found[0] == found[1]


class Opaque(nn.Module):
    """Raises once it is looked at closely."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("only on Tuesdays")


def test_no_route_is_told_with_every_reason() -> None:
    with pytest.raises(ModelError, match="no graph") as caught:
        exported(Opaque(), (normal(2, 4, seed=1),), {}, CrossEntropy())
    assert caught.value.why.count("only on Tuesdays") >= 2
    assert "override" in caught.value.hint


def test_the_model_is_left_as_it_was_by_every_route() -> None:
    for model, args in (
        (delicate(), (labels(4, 3, classes=6, seed=1),)),
        (seeded(Opaque, 1), (normal(2, 4, seed=1),)),
    ):
        before = (global_state(), state_of(model))
        with suppress(ModelError):
            exported(model, args, {}, CrossEntropy())
        for one, other in zip(before, (global_state(), state_of(model)), strict=True):
            assert_same(one, other)


class Telling(nn.Module):
    """Returns its hidden layer beside the logits."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.first(x).relu()
        return self.last(hidden), hidden


def test_what_the_loss_reads_is_frozen() -> None:
    def first_unit(outputs: tuple[Tensor, Tensor], targets: Tensor) -> Tensor:
        logits, hidden = outputs
        return nn.functional.cross_entropy(logits, targets, reduction="none") + hidden[:, 0]

    data = [(normal(6, 4, seed=1), labels(6, classes=3, seed=1))]
    model = seeded(Telling, 1)
    assert len(infer(Subject(model, "ce", data, device="cpu")).groups) == 1
    assert infer(Subject(model, first_unit, data, device="cpu")).groups == ()


@dataclass
class Told:
    """An output that is no container."""

    logits: Tensor
    more: dict[str, list[Tensor]]


class Slotted:
    __slots__ = ("_hidden", "logits")

    def __init__(self, logits: Tensor, hidden: Tensor) -> None:
        self.logits, self._hidden = logits, hidden


class Box(UserDict[str, Tensor]):
    logits = property(lambda self: self["logits"])


@pytest.mark.parametrize("kind", ["dataclass", "slots", "mapping", "nested"])
def test_what_the_loss_may_read_of_an_object_is_frozen(kind: str) -> None:
    class Objective(Telling):
        def forward(self, x: Tensor) -> Any:
            logits, hidden = super().forward(x)
            match kind:
                case "dataclass":
                    return Told(logits, {"hidden": [hidden]})
                case "slots":
                    return Slotted(logits, hidden)
                case "mapping":
                    return Box(logits=logits, hidden=hidden)
                case _:
                    own = Told(logits, {"hidden": [hidden]})
                    own.more["self"] = [own]  # pyright: ignore[reportArgumentType]
                    return {"told": own, "logits": logits}

    def cross_entropy(outputs: Any, targets: Tensor) -> Tensor:
        logits = outputs["logits"] if isinstance(outputs, dict) else outputs.logits
        return nn.functional.cross_entropy(logits, targets, reduction="none")

    model = seeded(Objective, 1)
    data = [(normal(6, 4, seed=1), labels(6, classes=3, seed=1))]
    assert infer(Subject(model, cross_entropy, data, device="cpu")).groups == ()
    if kind != "mapping":
        assert len(infer(Subject(model, "ce", data, device="cpu")).groups) == 1


class Autocast(nn.Module):
    """Runs blocks, one inside the other, under settings of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(4, 5), nn.Linear(5, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            hidden = self.first(x).relu()
            with torch.no_grad():
                mean = hidden.mean(-1, keepdim=True)
            hidden = self.second(hidden - mean)
        return self.last(hidden.float() * torch.tensor([0.5]))


def test_blocks_under_a_setting_are_part_of_the_graph() -> None:
    found = exported(seeded(Autocast, 1), (normal(3, 4, seed=1),), {}, CrossEntropy())
    assert found.route == "export"
    calls = [node for node in found.graph.nodes if node.op == "call_function"]
    assert not any("wrap_with" in str(node.target) for node in calls)
    assert [module_of(node) for node in calls if "linear" in str(node.target)] == [
        "first", "second", "last"
    ]  # fmt: skip
    data = [(normal(6, 4, seed=1), labels(6, classes=3, seed=1))]
    symmetry = infer(Subject(seeded(Autocast, 1), "ce", data, device="cpu"))
    assert not symmetry.unknown
    assert [group.size for group in symmetry.groups] == [5, 6]
