from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from landscape.errors import ModelError
from landscape.operators.fisher import FisherOperator
from landscape.operators.gauss_newton import GaussNewtonOperator
from landscape.subject.subject import Subject
from tests.cases import CASES, Problem, labels, normal, seeded
from tests.oracles import F64, Reference, generator, relative
from tests.selection import full

PROBLEMS = ("mlp", "ragged", "ignored", "soft-labels", "pixels", "regression", "binary", "masked")


def loop(problem: Problem) -> Tensor:
    """Σ g gᵀ / count over single samples, each by one backward pass."""
    exact = Reference(problem)
    total = torch.zeros(len(exact.theta), len(exact.theta), dtype=F64)
    for args, kwargs, targets in exact.batches:
        theta = exact.theta.detach().requires_grad_()
        outputs = exact._outputs(theta, (args, kwargs, targets))
        losses = _losses(problem, outputs, targets)
        for one in losses.reshape(-1):
            (g,) = torch.autograd.grad(one, theta, retain_graph=True)
            total += torch.outer(g, g)
    return total / exact.count


def _losses(problem: Problem, outputs: Tensor, targets: Tensor) -> Tensor:
    if problem.loss == "mse":
        return ((outputs - targets) ** 2).sum(1)
    if problem.loss == "bce":
        y = targets.view_as(outputs).double()
        return (torch.logaddexp(outputs, torch.zeros_like(outputs)) - y * outputs).sum(1)
    logs = outputs.log_softmax(problem.classes_axis)
    if targets.is_floating_point():
        return -(targets * logs).sum(1)
    logs = logs.movedim(problem.classes_axis, -1)
    chosen = logs.gather(-1, targets.clamp_min(0)[..., None])[..., 0]
    return -chosen * (targets >= 0)


@pytest.mark.parametrize("name", PROBLEMS)
def test_empirical_fisher_is_the_sum_over_single_samples(name):
    problem = CASES[name]()
    exact = loop(problem)
    found = FisherOperator(problem.subject(dtype="float64"), draws=None)
    block = torch.randn(len(exact), 6, generator=generator(0), dtype=F64)
    assert relative(found.matmat(block) - exact @ block, exact @ block) <= 1e-12


@pytest.mark.parametrize("batch_size", [1, *full(None, 3, 1000)])
@pytest.mark.parametrize("draws", [None, pytest.param(1, marks=pytest.mark.full), 3])
@pytest.mark.parametrize("name", ["ragged", "ignored"])
def test_labels_do_not_depend_on_the_micro_batch(name, draws, batch_size):
    subject = CASES[name]().subject(dtype="float64")
    exact = FisherOperator(subject, draws=draws, seed=4)
    found = FisherOperator(subject, draws=draws, seed=4, batch_size=batch_size)
    block = torch.randn(exact.shape[0], 3, generator=generator(0), dtype=F64)
    assert relative(found.matmat(block) - exact.matmat(block), exact.matmat(block)) <= 1e-12


def tiny(loss: str) -> Subject:
    model = seeded(lambda: nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 3)), 0)
    x = normal(6, 2, seed=0)
    targets: dict[str, Any] = {
        "ce": labels(6, classes=3, seed=1),
        "mse": normal(6, 3, seed=1),
        "bce": labels(6, 3, classes=2, seed=1).float(),
        "probabilities": normal(6, 3, seed=2).softmax(1),
    }
    data = list(zip(x.split(4), targets[loss].split(4), strict=True))
    return Subject(model, "ce" if loss == "probabilities" else loss, data, dtype="float64")


@pytest.mark.parametrize("loss", ["ce", *full("probabilities", "mse", "bce")])
def test_the_mean_over_draws_tends_to_the_gauss_newton_matrix(loss):
    subject = tiny(loss)
    exact = GaussNewtonOperator(subject).to_dense()
    found = torch.stack(
        [FisherOperator(subject, draws=25, seed=seed).to_dense() for seed in range(40)]
    )
    error = found.std(0) / len(found) ** 0.5
    off = (found.mean(0) - exact).abs() / error.clamp_min(1e-3 * float(exact.abs().max()) / 40)
    assert float(off.max()) <= 5
    assert float((found[0] - exact).abs().max()) > 0.01 * float(exact.abs().max())


def test_tokens_that_are_ignored_get_no_label():
    subject = CASES["ignored"]().subject(dtype="float64")
    fisher = FisherOperator(subject, draws=2)
    for given, drawn in zip(subject.device_batches(), fisher.source(), strict=True):
        ignored = (given.targets == -100).unsqueeze(1).expand_as(drawn.targets)
        assert torch.equal(drawn.targets == -100, ignored)


def test_a_seed_is_one_matrix_and_another_seed_another():
    subject = tiny("ce")
    one, same, other = (
        FisherOperator(subject, draws=1, seed=seed).to_dense() for seed in (0, 0, 1)
    )
    assert torch.equal(one, same)
    assert not torch.allclose(one, other)


def test_soft_labels_as_many_as_positions_are_drawn_along_the_classes():
    model = seeded(lambda: nn.Conv1d(2, 3, 1), 0)
    data = (normal(40, 2, 3, seed=0), normal(40, 3, 3, seed=1).softmax(1))
    subject = Subject(model, "ce", data, dtype="float64")
    exact = GaussNewtonOperator(subject).to_dense()
    found = FisherOperator(subject, draws=400).to_dense()
    assert relative(found - exact, exact) <= 0.1


def test_a_custom_loss_has_an_empirical_fisher_only():
    subject = CASES["custom-samples"]().subject(dtype="float64")
    with pytest.raises(ModelError, match="no labels can be drawn for the loss custom"):
        FisherOperator(subject)
    exact = loop_of_custom()
    assert relative(FisherOperator(subject, draws=None).to_dense() - exact, exact) <= 1e-12


def loop_of_custom() -> Tensor:
    exact = Reference(CASES["custom-samples"]())
    total = torch.zeros(len(exact.theta), len(exact.theta), dtype=F64)
    for batch in exact.batches:
        theta = exact.theta.detach().requires_grad_()
        losses = torch.log(torch.cosh(exact._outputs(theta, batch)[:, 0] - batch[2]))
        for one in losses:
            (g,) = torch.autograd.grad(one, theta, retain_graph=True)
            total += torch.outer(g, g)
    return total / exact.count


def test_a_loss_inside_the_model_is_refused():
    with pytest.raises(ModelError, match="function of the outputs"):
        FisherOperator(CASES["self-scored"]().subject())
