"""The callbacks, driven as their frameworks drive them."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from landscape.errors import ModelError
from landscape.recorder import lightning, transformers
from tests.recorder.runs import flat_loss, mlp, sgd, tied, token_loss


def fake(monkeypatch: pytest.MonkeyPatch, name: str, **attributes: Any) -> None:
    module = ModuleType(name)
    vars(module).update(attributes)
    for place in range(name.count(".")):
        parent = ".".join(name.split(".")[: place + 1])
        monkeypatch.setitem(sys.modules, parent, ModuleType(parent))
    monkeypatch.setitem(sys.modules, name, module)


class Callback:
    """What both frameworks ask of a base class."""


@pytest.mark.parametrize("name", ["lightning.pytorch", "pytorch_lightning"])
def test_lightning(monkeypatch, name):
    if name == "pytorch_lightning":
        monkeypatch.setitem(sys.modules, "lightning", None)
        monkeypatch.setitem(sys.modules, "lightning.pytorch", None)
    fake(monkeypatch, name, Callback=Callback)
    model = mlp()
    optimizer = sgd(model)
    trainer = SimpleNamespace(
        optimizers=[optimizer],
        strategy=SimpleNamespace(precision_plugin=SimpleNamespace(), model=model),
        global_step=7,
        accumulate_grad_batches=2,
    )
    callback: Any = lightning.recorder_callback(quiet=True)
    assert issubclass(type(callback), Callback)
    callback.on_train_start(trainer, model)
    losses = []
    for step in range(3):
        optimizer.zero_grad()
        for number in range(2):
            loss = flat_loss(model, 2 * step + number) / 2
            losses.append(2 * float(loss.detach()))
            callback.on_before_backward(trainer, model, loss)
            loss.backward()
        optimizer.step()
    callback.on_train_end(trainer, model)
    steps = callback.recorder.log().of("step")
    assert [one["step"] for one in steps] == [7, 8, 9]
    assert [one["passes"] for one in steps] == [2] * 3
    expected = [sum(pair) / 2 for pair in zip(losses[::2], losses[1::2], strict=True)]
    assert [one["loss"] for one in steps] == pytest.approx(expected, rel=1e-6)


def test_lightning_with_several_optimizers(monkeypatch):
    fake(monkeypatch, "lightning.pytorch", Callback=Callback)
    model = mlp()
    trainer = SimpleNamespace(optimizers=[sgd(model), sgd(model)])
    with pytest.raises(ModelError, match="2 optimizers"):
        lightning.recorder_callback().on_train_start(trainer, model)


def test_transformers(monkeypatch):
    fake(monkeypatch, "transformers", TrainerCallback=Callback)
    model = tied()
    inner = sgd(model)

    class Accelerated(torch.optim.Optimizer):
        """The wrapper that a Trainer hands to its callbacks."""

        def __init__(self, optimizer: torch.optim.Optimizer) -> None:
            self.optimizer = optimizer
            self.scaler = None

        def step(self, closure: Any = None) -> None:  # type: ignore[override]
            self.optimizer.step(closure)

    wrapper = Accelerated(inner)
    callback = transformers.recorder_callback(quiet=True)
    state = SimpleNamespace(global_step=0)
    callback.on_train_begin(None, state, None, model=model, optimizer=wrapper)
    losses = []
    for step in range(3):
        inner.zero_grad()
        loss = token_loss(model, step)
        losses.append(float(loss.detach()))
        loss.backward()
        wrapper.step()
    callback.on_train_end(None, state, None)
    steps = callback.recorder.log().of("step")
    assert [one["loss"] for one in steps] == pytest.approx(losses, rel=1e-6)


def test_a_framework_that_is_not_there(monkeypatch):
    for name in ("lightning", "lightning.pytorch", "pytorch_lightning", "transformers"):
        monkeypatch.setitem(sys.modules, name, None)
    for module in (lightning, transformers):
        with pytest.raises(ModelError, match="not installed") as caught:
            module.recorder_callback()
        assert "pip install" in caught.value.hint
