from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from landscape.subject.files.checkpoint import Checkpoint
from landscape.subject.optimizer_state import NoOptimizer, OptimizerState, read_optimizer
from landscape.subject.subject import Subject
from tests.oracles import F64, generator

ADAPTIVE: dict[str, tuple[Any, dict[str, Any]]] = {
    "Adam": (torch.optim.Adam, {"betas": (0.8, 0.95)}),
    "AMSGrad": (torch.optim.Adam, {"amsgrad": True}),
    "AdamW": (torch.optim.AdamW, {"weight_decay": 0.0}),
    "Adamax": (torch.optim.Adamax, {}),
    "RAdam": (torch.optim.RAdam, {"betas": (0.9, 0.9)}),
    "RMSprop": (torch.optim.RMSprop, {}),
    "centred RMSprop": (torch.optim.RMSprop, {"centered": True}),
    "Adagrad": (torch.optim.Adagrad, {"lr_decay": 0.1}),
}


def network() -> nn.Sequential:
    torch_generator = generator(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=torch_generator, dtype=F64))
    return model


def data() -> tuple[Tensor, Tensor]:
    x = torch.randn(20, 3, generator=generator(1), dtype=F64)
    return x, torch.randint(2, (20,), generator=generator(2))


def loss(model: nn.Module) -> Tensor:
    x, y = data()
    return nn.functional.cross_entropy(model(x), y)


def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    loss(model).backward()
    optimizer.step()


def flat(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def subject_of(model: nn.Module, state: Any, **more: Any) -> Subject:
    one = Checkpoint(label="one", tensors=model.state_dict(), optimizer=state)
    return Subject(model, "ce", data(), one, **more)


def read(model: nn.Module, optimizer: torch.optim.Optimizer, **more: Any) -> OptimizerState:
    found = read_optimizer(subject_of(model, optimizer.state_dict(), **more))
    assert isinstance(found, OptimizerState)
    return found


@pytest.mark.parametrize("name", ADAPTIVE)
def test_a_step_is_the_average_divided_by_the_preconditioner(name):
    kind, settings = ADAPTIVE[name]
    model = network()
    optimizer = kind(model.parameters(), lr=0.01, **settings)
    for _ in range(24):
        step(model, optimizer)
    before = flat(model)
    step(model, optimizer)
    found = read(model, optimizer)
    assert found.preconditioner is not None, found.reason
    entries = optimizer.state_dict()["state"].values()
    averaged = "exp_avg" in next(iter(entries))
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    parts = [entry["exp_avg"] for entry in entries] if averaged else gradients
    direction = torch.cat([part.flatten() for part in parts])
    expected = -found.learning_rate * direction / found.preconditioner
    torch.testing.assert_close(flat(model) - before, expected)
    assert (found.name, found.step, found.adaptive) == (kind.__name__, 25, True)


@pytest.mark.parametrize(
    ("settings", "momentum", "dampening", "nesterov"),
    [
        ({}, 0.0, 0.0, False),
        ({"momentum": 0.9}, 0.9, 0.0, False),
        ({"momentum": 0.9, "dampening": 0.5}, 0.9, 0.5, False),
        ({"momentum": 0.8, "nesterov": True, "weight_decay": 0.1}, 0.8, 0.0, True),
    ],
)
def test_sgd_needs_no_preconditioner(settings, momentum, dampening, nesterov):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3, **settings)
    step(model, optimizer)
    found = read(model, optimizer)
    assert (found.name, found.learning_rate, found.adaptive) == ("SGD", 0.3, False)
    assert (found.momentum, found.dampening, found.nesterov) == (momentum, dampening, nesterov)
    assert found.preconditioner is None
    assert not found.reason
    assert found.weight_decay == settings.get("weight_decay", 0.0)


def test_rates_of_groups_are_folded_in():
    model = network()
    groups = [{"params": model[0].parameters()}, {"params": model[2].parameters(), "lr": 0.05}]
    optimizer = torch.optim.SGD(groups, lr=0.2, momentum=0.9)
    step(model, optimizer)
    found = read(model, optimizer)
    assert found.preconditioner is not None
    expected = torch.cat([torch.ones(16), torch.full((10,), 4.0)]).double()
    torch.testing.assert_close(found.preconditioner, expected)


def test_the_preconditioner_follows_the_studied_parameters():
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    step(model, optimizer)
    whole = read(model, optimizer).preconditioner
    part = read(model, optimizer, params="2.*").preconditioner
    mask = {"2.bias": torch.tensor([False, True])}
    masked = read(model, optimizer, mask=mask).preconditioner
    assert whole is not None
    assert part is not None
    assert masked is not None
    torch.testing.assert_close(part, whole[16:])
    torch.testing.assert_close(masked, torch.cat([whole[:24], whole[25:]]))


def test_adamw_is_told_from_adam_by_its_decay():
    for kind, decoupled in ((torch.optim.Adam, False), (torch.optim.AdamW, True)):
        model = network()
        optimizer = kind(model.parameters(), lr=0.01, weight_decay=0.1)
        step(model, optimizer)
        found = read(model, optimizer)
        assert (found.name, found.weight_decay, found.decoupled) == (kind.__name__, 0.1, decoupled)


def test_what_is_not_known_is_said():
    model = network()
    assert "no optimizer state" in reason(model, None)
    foreign = torch.optim.SGD(model.parameters(), lr=0.1).state_dict()
    foreign["param_groups"] = [{"lr": 0.1, "params": [0, 1, 2, 3], "trust": 3}]
    assert "lr, trust" in reason(model, foreign)
    fresh = torch.optim.Adam(model.parameters(), lr=0.1).state_dict()
    assert "not taken a step" in reason(model, fresh)
    other = nn.Linear(2, 2)
    optimizer = torch.optim.Adam(other.parameters(), lr=0.1)
    optimizer.zero_grad()
    other(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert "does not fit" in reason(model, optimizer.state_dict())
    nadam = torch.optim.NAdam(model.parameters(), lr=0.1)
    step(model, nadam)
    assert "changes with every step" in reason(model, nadam.state_dict())


def reason(model: nn.Module, state: Any) -> str:
    found = read_optimizer(subject_of(model, state))
    if isinstance(found, OptimizerState):
        assert found.preconditioner is None
    else:
        assert isinstance(found, NoOptimizer)
    return found.reason


def test_a_frozen_group_and_mixed_momenta_are_said():
    model = network()
    groups = [{"params": model[0].parameters()}, {"params": model[2].parameters(), "lr": 0.0}]
    assert "learning rate 0" in reason(model, torch.optim.SGD(groups, lr=0.2).state_dict())
    groups = [{"params": model[0].parameters()}, {"params": model[2].parameters(), "momentum": 0.1}]
    assert "different momenta" in reason(model, torch.optim.SGD(groups, lr=0.2).state_dict())
