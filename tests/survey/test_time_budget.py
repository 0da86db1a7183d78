"""A time budget ends a report: every section is there, or says why it is not.

On the clock of these tests a forward pass takes a second, and all else next to nothing.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import landscape as ls
from landscape.budget import Budget, BudgetError, spending
from landscape.connectivity.result import ConnectResult
from landscape.estimate import Status
from landscape.kernels.result import NtkResult
from landscape.surfaces.result import SurfaceResult
from landscape.survey import survey
from landscape.tickets.judgement import EvalResult
from tests.cli.networks import drawn, filled

FACTOR = 1.25  # times the budget, within which a report ends
BEGUN = 30.0  # seconds: the blocks that were begun, and what is done before the first section
PASSED = [0.0]  # seconds that forward passes took
SECTIONS = [kind.name for kind in ls.DIAGNOSTICS if kind.surveyed]
SETTINGS: dict[str, dict[str, Any]] = {
    "lipschitz": {"starts": 1, "steps": 5, "seconds": 1.0},
    "tickets-eval": {"rounds": 3, "controls": "random", "steps": 20, "seeds": 1},
    "connect": {"points": 15, "curve_steps": 150, "restarts": 1, "every": True},
    "surface": {"points": 15},
    "solutions": {"points": 11, "max_probes": 16},
}


class Slow(nn.Module):
    """A network that takes its time."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 12), nn.Tanh(), nn.Linear(12, 3))

    def forward(self, x: Tensor) -> Tensor:
        PASSED[0] += 1.0
        return self.body(x)


def batches() -> list[tuple[Tensor, Tensor]]:
    labels = torch.arange(120) % 3
    inputs = torch.randn(120, 8, generator=drawn(0)) + 2.0 * nn.functional.one_hot(labels, 8)
    return [(inputs[:60], labels[:60]), (inputs[60:], labels[60:])]


def trained(seed: int) -> ls.Checkpoint:
    model = filled(Slow(), seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(30):
        for inputs, labels in batches():
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs), labels).backward()
            optimizer.step()
    return ls.Checkpoint.of_model(model, f"seed {seed}")


@pytest.fixture(scope="module")
def ends() -> list[ls.Checkpoint]:
    return [trained(1), trained(2)]


@pytest.fixture(autouse=True)
def clock(monkeypatch) -> None:
    """Clocks go on by a second with every forward pass."""
    for name in ("monotonic", "perf_counter"):
        real = getattr(time, name)
        monkeypatch.setattr(time, name, lambda real=real: real() + PASSED[0])


def subject(checkpoints: list[ls.Checkpoint]) -> ls.Subject:
    return ls.Subject(Slow(), "ce", batches(), checkpoints, device="cpu", product="cached")


def reported(checkpoints: list[ls.Checkpoint], seconds: float) -> tuple[ls.Report, float]:
    """A report under a budget, and how long it took on the clock."""
    studied, begun = subject(checkpoints), time.monotonic()
    with spending(Budget(seconds=seconds)):
        report = survey(studied, preset="quick", settings=SETTINGS, train="plain")
    return report, time.monotonic() - begun


@pytest.mark.parametrize(("seconds", "count"), [(60, 1), (300, 1), (1500, 1), (300, 2), (1500, 2)])
def test_a_report_ends_with_its_budget(ends, seconds, count):
    report, taken = reported(ends[:count], seconds)
    assert taken <= FACTOR * seconds + BEGUN
    assert not report.failures
    there = {one.name for one in report.sections}
    assert there | {one.section for one in report.skipped} == set(SECTIONS)
    assert "weights" in there
    for one in report.skipped:
        assert one.reason
        assert one.unlock
        if one.unlock == "a larger --budget":
            assert f"budget of {Budget(seconds=seconds)}" in one.reason
    for one in report.sections:
        if one.result.status is Status.BUDGET_SPENT:
            assert one.result.message


def test_a_large_budget_changes_nothing(ends):
    report, _ = reported(ends, 1e6)
    assert [one.name for one in report.sections] == SECTIONS
    assert all("budget" not in one.result.message for one in report.sections)
    surface = next(one.result for one in report.sections if one.name == "surface")
    assert isinstance(surface, SurfaceResult)
    assert surface.loss.shape == (15, 15)


# --- a section that is cut tells what there is ---------------------------------------------------


def answered(kind: Any, checkpoints: list[ls.Checkpoint], seconds: float, **more: Any) -> Any:
    """An answer under a budget; it ends with it."""
    settings = {**SETTINGS.get(kind.name, {}), **more}
    question, studied = kind.preset("quick", **settings), subject(checkpoints)
    begun = time.monotonic()
    with spending(Budget(seconds=seconds)):
        try:
            return question.run(studied)
        finally:
            assert time.monotonic() - begun <= FACTOR * seconds + BEGUN


def test_a_surface_has_fewer_points(ends):
    found = answered(ls.Surface, ends[:1], 250)
    assert isinstance(found, SurfaceResult)
    assert found.status is Status.BUDGET_SPENT
    assert 5 <= len(found.x) < 15
    assert found.loss.shape == (len(found.x), len(found.x))
    assert f"The budget of 250s lasted for {len(found.x)} of 15 points" in found.message
    whole = ls.Surface.preset("quick", points=len(found.x)).run(subject(ends[:1]))
    assert np.array_equal(found.loss, whole.loss)
    assert (found.x[0], found.x[-1]) == (-1, 1), "it reaches as far, more coarsely"


def test_a_surface_whose_curvature_is_not_checked_says_so(ends):
    found = answered(ls.Surface, ends[:1], 110, points=5)
    assert isinstance(found, SurfaceResult)
    assert not found.checks
    assert "the budget of 110s was spent before the curvature was checked" in found.message
    assert "curvature not checked" in found.summary()
    assert dict(found.trust())["curvature"] == found.unchecked


def test_what_a_budget_does_not_last_for_is_refused_before_it_begins(ends):
    begun = PASSED[0]
    with pytest.raises(BudgetError, match="5 points along each axis takes about") as caught:
        answered(ls.Surface, ends[:1], 30)
    assert PASSED[0] - begun < 15
    assert "larger --budget" in caught.value.hint


def test_a_curve_that_does_not_fit_is_not_fitted(ends):
    found = answered(ls.Connect, ends, 200)
    assert isinstance(found, ConnectResult)
    assert found.status is Status.BUDGET_SPENT
    (pair,) = found.pairs
    assert set(pair.paths) == {"line", "aligned"}
    assert pair.missing["curve"].startswith("the fit of the curve takes about 1")
    assert "not judged: curve" in found.message
    assert any("curve" in name for name, _ in found.trust())


def test_a_kernel_is_of_fewer_samples(ends):
    found = answered(ls.Ntk, ends[:1], 70)
    assert isinstance(found, NtkResult)
    assert 8 <= found.samples < 120
    assert found.status is Status.BUDGET_SPENT
    assert found.message == f"The budget of 70s lasted for {found.samples} of 120 samples."


def test_tickets_have_fewer_rounds(ends):
    found = answered(ls.TicketsEval, ends[:1], 150)
    assert isinstance(found, EvalResult)
    assert found.status is Status.BUDGET_SPENT
    assert 1 <= len(found.tickets) < 3
    whole = ls.TicketsEval.preset("quick", **SETTINGS["tickets-eval"]).run(subject(ends[:1]))
    assert isinstance(whole, EvalResult)
    assert found.tickets[0].density == whole.tickets[0].density
    assert found.dense.runs == whole.dense.runs


def test_tickets_of_which_none_can_be_judged_are_refused(ends):
    with pytest.raises(BudgetError, match="the budget of 20s was spent before a training run"):
        answered(ls.TicketsEval, ends[:1], 20)
