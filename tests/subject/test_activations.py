"""Hooks see what modules compute, replace it when asked to, and leave nothing behind."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from landscape.errors import ModelError
from landscape.subject.activations import by_channel, channel_axis, sizes, watching
from landscape.subject.subject import Subject
from tests import cases
from tests.cases import normal, seeded


class Pair(NamedTuple):
    state: Tensor
    name: str


class Wrapped(nn.Module):
    """Its part returns a named tuple and is called twice, once by keyword."""

    def __init__(self) -> None:
        super().__init__()
        self.part = Part()
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.part(state=self.part(x).state).state)


class Part(nn.Module):
    def forward(self, state: Tensor) -> Pair:
        return Pair(2 * state, "doubled")


def subject_of(model: nn.Module, *shape: int) -> Subject:
    return Subject(model, "auto", [(normal(6, *shape, seed=1), torch.arange(6) % 3)], device="cpu")


def run(subject: Subject) -> Any:
    assert subject.batches is not None
    with subject.undisturbed(0), torch.no_grad():
        return subject.outputs(subject.point, next(iter(subject.batches)))


def hooks_of(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def test_outputs_and_inputs_are_those_of_the_layers():
    model = seeded(cases.mlp, 0)
    subject = subject_of(model, 5)
    seen: dict[str, Tensor] = {}
    with (
        watching(subject, ["0", "4"], lambda name, x: seen.update({f"{name} out": x})),
        watching(subject, ["2"], lambda name, x: seen.update({f"{name} in": x}), side="input"),
    ):
        outputs = run(subject)
    x = normal(6, 5, seed=1)
    assert torch.equal(seen["0 out"], model[0](x))
    assert torch.equal(seen["2 in"], torch.tanh(model[0](x)))
    assert torch.equal(seen["4 out"], outputs)
    assert set(seen) == {"0 out", "2 in", "4 out"}


@pytest.mark.parametrize("side", ["input", "output"])
def test_what_is_returned_takes_the_place(side: Any):
    subject = subject_of(seeded(cases.mlp, 0), 5)
    model: Any = subject.model
    changed = normal(6, 8 if side == "output" else 5, seed=2)
    with watching(subject, ["0"], lambda *_: changed, side=side):
        outputs = run(subject)
    first = changed if side == "output" else model[0](changed)
    torch.testing.assert_close(outputs, model[1:](first))


@pytest.mark.parametrize(("side", "factor"), [("input", 9), ("output", 9)])
def test_tuples_keywords_and_modules_called_twice(side: Any, factor: int):
    subject = subject_of(seeded(Wrapped, 0), 4)
    model: Any = subject.model
    calls: list[Tensor] = []

    def see(name: str, x: Tensor) -> Tensor:
        assert name == "part"
        calls.append(x)
        return 3 * x

    with watching(subject, ["part"], see, side=side):
        outputs = run(subject)
    x = normal(6, 4, seed=1)
    torch.testing.assert_close(outputs, model.head(4 * factor * x))
    torch.testing.assert_close(calls[0], x if side == "input" else 2 * x)
    assert len(calls) == 2


def test_hooks_are_gone_also_after_an_error():
    model = seeded(cases.mlp, 0)
    subject = subject_of(model, 5)

    def fail(*_: Any) -> None:
        assert hooks_of(model) == 2
        raise KeyboardInterrupt

    def watched() -> None:
        with watching(subject, ["0", "2"], fail):
            run(subject)

    with pytest.raises(KeyboardInterrupt):
        watched()
    assert hooks_of(model) == 0
    with (
        pytest.raises(ModelError, match="no module 'encoder'"),
        watching(subject, ["0", "encoder"], fail),
    ):
        pass
    assert hooks_of(model) == 0


def test_an_activation_without_a_tensor_is_refused():
    class Empty(nn.Module):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"x": x}

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.part, self.head = Empty(), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.part(x)["x"])

    subject = subject_of(Whole(), 4)
    with (
        pytest.raises(ModelError, match="no activation of part"),
        watching(subject, ["part"], lambda *_: None),
    ):
        run(subject)


@pytest.mark.parametrize(
    ("module", "shape", "axis"),
    [
        (nn.Conv2d(3, 5, 1), (2, 5, 4, 4), 1),
        (nn.Conv1d(3, 4, 1), (2, 4, 4), 1),
        (nn.ConvTranspose2d(3, 5, 1), (2, 5, 4, 4), 1),
        (nn.BatchNorm1d(5), (2, 5), 1),
        (nn.GroupNorm(1, 5), (2, 5, 7), 1),
        (nn.Linear(3, 5), (2, 7, 5), -1),
        (nn.LayerNorm(5), (2, 5, 5), -1),
        (nn.Sequential(nn.Conv2d(3, 5, 1), nn.ReLU()), (2, 5, 4, 4), 1),
        (nn.Sequential(nn.Conv2d(3, 5, 1), nn.Flatten(2), nn.Linear(16, 7)), (2, 5, 7), -1),
        (nn.Sequential(nn.Linear(3, 5), nn.Identity()), (2, 5, 4, 4), 1),  # permuted after it
        (nn.ReLU(), (2, 5, 4, 4), 1),
        (nn.ReLU(), (2, 7, 5), -1),
    ],
)  # fmt: skip
def test_the_axis_of_the_channels(module: nn.Module, shape: tuple[int, ...], axis: int):
    activation = normal(*shape, seed=1)
    assert channel_axis(module, activation) == axis
    rows = by_channel(activation, axis)
    assert rows.shape == (activation.numel() // shape[axis], shape[axis])
    torch.testing.assert_close(rows[0], activation.movedim(axis, -1).reshape(-1, shape[axis])[0])


def test_sizes_of_every_call_of_a_module_with_a_weight():
    shared = nn.Linear(4, 4)
    model = nn.Sequential(nn.Conv1d(2, 3, 3), nn.Flatten(), nn.Linear(12, 4), shared, shared)
    found = sizes(subject_of(model, 2, 6))
    assert found == [(model[0], 12, 12), (model[2], 12, 4), (shared, 4, 4), (shared, 4, 4)]
