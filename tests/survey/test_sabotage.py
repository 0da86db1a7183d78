"""One number of a report told wrongly, on networks of several kinds: it must not pass."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest

import landscape as ls
from landscape.answer import Result
from landscape.connectivity.result import ConnectResult
from landscape.reports.report import Section
from landscape.subject.files.checkpoint import Checkpoint
from landscape.subject.subject import Subject
from landscape.survey import survey
from landscape.survey.agreement import agreements_of
from tests.selection import some
from tests.survey.networks import NETWORKS, SAMPLES, subject, trained
from tests.survey.test_agreement import (
    BOTTOM,
    FALL,
    OF_SAMPLES,
    ON_PATH,
    ON_SURFACE,
    TOP,
    TRACE,
    scaled,
)

EXPECTED = {TRACE, TOP, BOTTOM, OF_SAMPLES, ON_SURFACE}
SEVERAL = range(10)
each = pytest.mark.parametrize("name", NETWORKS)
one = pytest.mark.parametrize("name", some(NETWORKS, "attention"))


@cache
def answers(name: str, seed: int = 0) -> dict[str, Result]:
    """Spectrum, gradients and surface of a network, as a quick report asks for them."""
    studied = subject(name, seed)
    asked = (
        ls.Spectrum.preset("quick"),
        ls.Gradients.preset("quick", samples=SAMPLES, steps=True),
        ls.Surface.preset("quick", points=5),
    )
    return {one.name: one.run(studied) for one in asked}


def verdicts(found: dict[str, Result]) -> dict[str, bool | None]:
    return {one.claim: one.agrees for one in agreements_of([*map(Section.of, found.values())])}


def wrong(name: str, section: str, change: Any, seed: int = 0) -> list[str]:
    found = answers(name, seed)
    told = verdicts({**found, section: change(found[section])})
    return [claim for claim, agrees in told.items() if agrees is False]


def sharper(factor: float, end: str = "top") -> Any:
    """λ₁, or λ_min, told wrongly."""

    def change(result: Any) -> Any:
        first, *others = getattr(result.eigenvalues, end)
        ends = {end: (scaled(first, factor), *others)}
        return replace(result, eigenvalues=replace(result.eigenvalues, **ends))

    return change


def heavier(factor: float) -> Any:
    return lambda result: replace(result, trace=scaled(result.trace, factor))


def steeper(factor: float) -> Any:
    return lambda result: replace(result, total_norm=scaled(result.total_norm, factor))


def caught(name: str, seed: int) -> None:
    assert TOP in wrong(name, "spectrum", sharper(3), seed)
    assert TOP in wrong(name, "spectrum", sharper(1 / 3), seed)
    assert BOTTOM in wrong(name, "spectrum", sharper(3, "bottom"), seed)
    for factor in (0, 0.5, 2, 2.5):
        assert TRACE in wrong(name, "spectrum", heavier(factor), seed), factor


@one
def test_no_false_alarm(name: str):
    told = verdicts(answers(name))
    assert set(told) >= EXPECTED
    assert all(told[claim] for claim in EXPECTED), told


@one
def test_curvature_told_wrongly(name: str):
    caught(name, 0)


@one
def test_a_gradient_told_wrongly(name: str):
    assert OF_SAMPLES in wrong(name, "gradients", steeper(1.01))
    if FALL in verdicts(answers(name)):
        assert FALL in wrong(name, "gradients", steeper(2.0))


def test_the_fall_along_a_step_resolves_a_smooth_gradient():
    assert verdicts(answers("attention"))[FALL]


@pytest.mark.full
@each
@pytest.mark.parametrize("seed", SEVERAL)
def test_every_seed(name: str, seed: int):
    told = verdicts(answers(name, seed))
    assert not [claim for claim, agrees in told.items() if agrees is False]
    assert all(told[claim] for claim in EXPECTED), told
    caught(name, seed)


def test_a_report_tells_of_it(monkeypatch: pytest.MonkeyPatch):
    """A section that computes wrongly on the way, not a document that is changed afterwards."""
    follow = ls.Spectrum.follow

    def broken(self: Any, *studied: Any) -> Any:
        found = follow(self, *studied)
        return replace(found, answer=sharper(3)(found.answer))

    monkeypatch.setattr(ls.Spectrum, "follow", broken)
    kept = ("spectrum", "gradients")
    monkeypatch.setattr("landscape.reports.plan.DIAGNOSTICS", [*_named(kept)])
    report = survey(subject("perceptron", 0), preset="quick")
    told = [one for one in report.findings if "disagree" in one.sentence]
    assert any(TOP in one.sentence for one in told), report.findings


def _named(names: tuple[str, ...]) -> list[Any]:
    return [kind for kind in ls.DIAGNOSTICS if kind.name in names]


# --- losses at the ends of a path ---------------------------------------------------------------


@cache
def pair() -> tuple[Result, ConnectResult]:
    """Gradients of two networks with BatchNorm, and the line between them."""
    models = [trained("convolutional", 0, steps)[0] for steps in (30, 40)]
    data = trained("convolutional", 0, 0)[1]
    ends = [Checkpoint.of_model(one, f"m{i}") for i, one in enumerate(models)]
    studied = Subject(models[0], "ce", [data], ends, device="cpu", product="reverse")
    gradients = ls.Gradients.preset("quick", steps=False).run(studied)
    connect = ls.Connect.preset("quick", path="line", points=11).run(studied)
    return gradients, connect


def test_the_ends_of_a_path_have_the_losses_of_their_checkpoints():
    gradients, connect = pair()
    told = verdicts({"gradients": gradients, "connect": connect})
    assert told[ON_PATH]
    first, second = gradients.series
    off = replace(second, loss=scaled(second.loss, 1.01))  # pyright: ignore
    changed = replace(gradients, series=(first, off))
    assert verdicts({"gradients": changed, "connect": connect})[ON_PATH] is False
