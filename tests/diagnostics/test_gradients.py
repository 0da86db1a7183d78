from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import nn

from landscape.diagnostics.gradients import Gradients, GradientsResult
from landscape.subject.files.checkpoint import Checkpoint
from landscape.subject.subject import Subject
from tests.cases import CASES, Problem, reference
from tests.oracles import F64


@pytest.mark.parametrize("name", CASES)
def test_norms_are_those_of_autograd(name):
    exact = reference(name)
    gradient = exact.gradient(exact.theta)
    result = Gradients().run(CASES[name]().subject(dtype="float64"))
    start = 0
    layers = {layer.name: layer for layer in result.layers}
    for block, kept in exact.kept.items():
        size = int(kept.sum())
        if size == 0:
            assert block not in layers
            continue
        part = slice(start, start + size)
        layer, start = layers[block], start + size
        assert layer.parameters == size
        norm = float(gradient[part].norm())
        assert layer.gradient_norm.value == pytest.approx(norm, rel=1e-9, abs=1e-15)
        assert layer.weight_norm.value == pytest.approx(float(exact.theta[part].norm()))
        assert layer.update_norm is None
    assert start == len(exact.theta) == result.parameters
    assert result.total_norm.value == pytest.approx(float(gradient.norm()), rel=1e-10)
    assert result.weight_norm.value == pytest.approx(float(exact.theta.norm()), rel=1e-12)
    assert result.loss.value == pytest.approx(float(exact.loss(exact.theta)), rel=1e-12)
    assert result.update_norm is None


def test_float32_gradient_is_near_the_exact_one():
    exact = reference("tied")
    result = Gradients().run(CASES["tied"]().subject())
    norm = float(exact.gradient(exact.theta).norm())
    assert result.total_norm.value == pytest.approx(norm, rel=1e-5)


def test_unused_parameters_are_named_and_frozen_ones_left_out():
    result = Gradients().run(CASES["partial"]().subject())
    assert result.unused == ("unused.weight", "unused.bias")
    assert not any("frozen" in layer.name for layer in result.layers)
    warnings = [f for f in result.findings() if f.severity == "warning"]
    assert len(warnings) == 1
    assert "unused.weight" in warnings[0].evidence


def test_a_used_network_has_no_findings():
    result = Gradients().run(CASES["mlp"]().subject())
    assert result.unused == result.non_finite == result.findings() == ()


def test_a_gradient_that_is_not_finite_is_named():
    """√ has a finite value and an infinite slope at zero."""

    class Rooted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.zero = nn.Parameter(torch.zeros(2))
            self.fine = nn.Parameter(torch.ones(2))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.fine + self.zero.abs().sqrt()

    result = Gradients().run(Subject(Rooted(), "mse", (torch.ones(3, 2), torch.zeros(3, 2))))
    assert result.non_finite == ("zero",)
    assert result.findings()[0].severity == "critical"
    json.dumps(result.to_json(), allow_nan=False)


def test_at_a_minimum_the_gradient_vanishes():
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0), dtype=F64)
    y = torch.randn(20, 1, generator=torch.Generator().manual_seed(1), dtype=F64)
    model = nn.Linear(3, 1, bias=False, dtype=F64)
    model.weight.data = torch.linalg.lstsq(x, y).solution.T
    assert Gradients().run(Subject(model, "mse", (x, y))).total_norm.value <= 1e-14


# --- the last step of the optimizer ------------------------------------------------------------

OPTIMIZERS: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    "adam": (torch.optim.Adam, {"lr": 0.01}),
    "adam other settings": (torch.optim.Adam, {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-3}),
    "adamw": (torch.optim.AdamW, {"lr": 0.01, "weight_decay": 0.0}),
    "amsgrad": (torch.optim.Adam, {"lr": 0.01, "amsgrad": True}),
    "sgd momentum": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    "sgd dampened": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}),
    "rmsprop momentum": (torch.optim.RMSprop, {"lr": 0.01, "momentum": 0.9}),
}
UNKNOWABLE: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    "sgd": (torch.optim.SGD, {"lr": 0.1}),
    "nesterov": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    "nadam": (torch.optim.NAdam, {"lr": 0.01}),
    "radam": (torch.optim.RAdam, {"lr": 0.01}),
    "adamax": (torch.optim.Adamax, {"lr": 0.01}),
    "adagrad": (torch.optim.Adagrad, {"lr": 0.01}),
    "rmsprop": (torch.optim.RMSprop, {"lr": 0.01}),
}


def stepped(
    problem: Problem, kind: type[torch.optim.Optimizer], settings: dict[str, Any], steps: int = 4
) -> tuple[Checkpoint, dict[str, torch.Tensor]]:
    """Train for some steps; return the checkpoint and what the last step subtracted."""
    model = problem.model
    optimizer = kind([p for p in model.parameters() if p.requires_grad], **settings)
    before: dict[str, torch.Tensor] = {}
    for step in range(steps):
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        x, y = problem.data[step % len(problem.data)]
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    after = Checkpoint.of_model(model)
    found = Checkpoint(
        label="trained", tensors=after.tensors, optimizer=optimizer.state_dict(), step=steps
    )
    moved = {n: before[n] - p.detach() for n, p in model.named_parameters() if p.requires_grad}
    return found, moved


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("steps", [1, 4])
def test_last_step_is_what_the_optimizer_subtracted(name, steps):
    problem = CASES["mlp"]()
    kind, settings = OPTIMIZERS[name]
    problem.model.double()
    problem.data[:] = [(x.double(), y) for x, y in problem.data]
    checkpoint, moved = stepped(problem, kind, settings, steps)
    result = Gradients().run(problem.subject(checkpoints=[checkpoint], dtype="float64"))
    for layer in result.layers:
        assert layer.update_norm is not None
        exact = float(moved[layer.name].norm())
        assert layer.update_norm.value == pytest.approx(exact, rel=1e-9)
    whole = torch.cat([step.flatten() for step in moved.values()])
    assert result.update_norm is not None
    assert result.update_norm.value == pytest.approx(float(whole.norm()), rel=1e-9)


@pytest.mark.parametrize("name", UNKNOWABLE)
def test_a_step_is_either_right_or_left_out(name):
    """What the state does not tell is left out; it is never a number of another optimizer."""
    problem = CASES["mlp"]()
    checkpoint, moved = stepped(problem, *UNKNOWABLE[name])
    result = Gradients().run(problem.subject(checkpoints=[checkpoint]))
    for layer in result.layers:
        if layer.update_norm is not None:
            exact = float(moved[layer.name].norm())
            assert layer.update_norm.value == pytest.approx(exact, rel=1e-3)


def test_frozen_parameters_take_no_slot():
    problem = CASES["partial"]()
    checkpoint, moved = stepped(problem, torch.optim.Adam, {"lr": 0.01})
    result = Gradients().run(problem.subject(checkpoints=[checkpoint]))
    steps = {layer.name: layer.update_norm for layer in result.layers}
    assert steps["used.weight"] is not None
    exact = float(moved["used.weight"].norm())
    assert steps["used.weight"].value == pytest.approx(exact, rel=1e-3)
    assert steps["unused.weight"] is None  # it never had a gradient, so there is no state


def test_only_studied_coordinates_of_a_step_are_measured():
    problem = CASES["masked"]()
    checkpoint, moved = stepped(problem, torch.optim.Adam, {"lr": 0.01})
    result = Gradients().run(problem.subject(checkpoints=[checkpoint]))
    total = 0.0
    for layer in result.layers:
        kept = problem.masks.get(layer.name, torch.ones_like(moved[layer.name], dtype=torch.bool))
        exact = float(moved[layer.name][kept].norm())
        assert layer.update_norm is not None
        assert layer.update_norm.value == pytest.approx(exact, rel=1e-3)
        total += exact**2
    assert result.update_norm is not None
    assert result.update_norm.value == pytest.approx(total**0.5, rel=1e-3)


def test_parameter_groups_bring_their_own_rates():
    problem = CASES["mlp"]()
    problem.model.double()
    problem.data[:] = [(x.double(), y) for x, y in problem.data]
    parts = list(problem.model.parameters())
    groups = [{"params": parts[:2], "lr": 0.5}, {"params": parts[2:], "lr": 0.001}]

    def optimizer(_: list[nn.Parameter], **settings: Any) -> torch.optim.Optimizer:
        return torch.optim.Adam(groups, **settings)

    checkpoint, moved = stepped(problem, optimizer, {})  # type: ignore[arg-type]
    result = Gradients().run(problem.subject(checkpoints=[checkpoint], dtype="float64"))
    for layer in result.layers:
        assert layer.update_norm is not None
        exact = float(moved[layer.name].norm())
        assert layer.update_norm.value == pytest.approx(exact, rel=1e-9)


def test_a_state_of_another_network_is_noted_and_left_out():
    problem, other = CASES["mlp"](), CASES["ragged"]()
    foreign, _ = stepped(other, torch.optim.Adam, {"lr": 0.01})
    own = Checkpoint.of_model(problem.model)
    mixed = Checkpoint(label="mixed", tensors=own.tensors, optimizer=foreign.optimizer)
    result = Gradients().run(problem.subject(checkpoints=[mixed]))
    assert result.update_norm is None
    assert any("optimizer state" in note for note in result.provenance["notes"])


# --- the document ------------------------------------------------------------------------------


def test_document_fits_its_schema_and_comes_back():
    import jsonschema

    problem = CASES["mlp"]()
    checkpoint, _ = stepped(problem, torch.optim.Adam, {"lr": 0.01})
    subject = problem.subject(checkpoints=[Checkpoint.of_model(problem.model), checkpoint])
    result = Gradients().run(subject)
    document = json.loads(json.dumps(result.to_json(), allow_nan=False))
    jsonschema.validate(document, GradientsResult.schema())
    back = GradientsResult.from_json(document)
    assert back.to_json() == document
    assert len(back.series) == 2
    assert back.layers == result.layers
