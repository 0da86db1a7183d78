"""Diagnostics in a loop keep to their share of time, and never end the run."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
import torch

import landscape as ls
from landscape import budget
from landscape.answer import Result
from landscape.base import Diagnostic, Needs, Question
from landscape.errors import NumericalError, SettingError
from landscape.estimate import Status
from landscape.recorder.answer import TrackResult
from landscape.recorder.overhead import Meter
from landscape.recorder.pictures import history_ink
from landscape.recorder.recorder import Recorder
from landscape.recorder.schedule import Schedule
from landscape.subject.subject import Subject
from tests.cases import normal
from tests.recorder.runs import flat_loss, mlp, sgd, train

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True)
class SlowResult(Result):
    name: ClassVar[str] = "slow"
    step: int | None = None
    rate: float | None = None

    def summary(self) -> str:
        return ""

    def draw(self, axes: Axes, *, label: str | None = None, colour: str | None = None) -> None:
        del axes, label, colour

    def tables(self) -> tuple[Any, ...]:
        return ()


@dataclass(frozen=True, kw_only=True)
class Slow(Diagnostic[SlowResult]):
    """Takes its time, in blocks, and looks at the budget between them."""

    name: ClassVar[str] = "slow"
    result: ClassVar[type[Result]] = SlowResult
    question: ClassVar[Question] = "speed"
    needs: ClassVar[Needs] = Needs(data=False)

    blocks: int = 5
    fails: bool = False

    def __post_init__(self) -> None:
        return

    def measure(self, subject: Subject) -> SlowResult:
        if self.fails:
            raise NumericalError("broken", hint="mend it")
        for _ in range(self.blocks):
            if budget.spent():
                return SlowResult(status=Status.BUDGET_SPENT)
            time.sleep(0.01)
        one = subject.checkpoint
        return SlowResult(step=one.step, rate=one.learning_rate)


def run(question: Any, every: int, *, steps: int, share: float, pause: float = 0.0) -> Recorder:
    model = mlp()
    optimizer = sgd(model, lr=0.25)
    with Recorder(
        model, optimizer, schedule={question: every}, share=share, details_every=0, quiet=True
    ) as recorder:
        for step in range(steps):
            optimizer.zero_grad()
            flat_loss(model, step).backward()
            optimizer.step()
            time.sleep(pause)
    return recorder


def test_answers_carry_step_and_learning_rate():
    recorder = run(Slow(blocks=0), 3, steps=8, share=1e9)
    found = recorder.log().of("diagnostic")
    assert [one["step"] for one in found] == [0, 3, 6]
    assert [one["document"]["answer"]["step"] for one in found] == [0, 3, 6]
    assert found[-1]["document"]["answer"]["rate"] == 0.25


class Clock:
    """Stands still unless something sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def simulated(
    monkeypatch: pytest.MonkeyPatch,
    questions: dict[Any, int],
    *,
    share: float,
    steps: int,
    seconds: float,
) -> tuple[list[dict[str, Any]], dict[int, float]]:
    """Return the records of a run on a clock of its own, and the share of time by step."""
    clock, model = Clock(), mlp()
    monkeypatch.setattr(time, "sleep", clock.sleep)
    meter = Meter("cpu", clock)
    schedule = Schedule(
        questions,
        model=model,
        optimizer=sgd(model),
        data=None,
        loss="auto",
        share=share,
        meter=meter,
    )
    records, shares = [], {}
    for step in range(steps):
        clock.sleep(seconds)
        meter.step()
        records += schedule.run(step)
        shares[step] = meter.diagnostics / meter.elapsed if meter.elapsed else 0.0
    return records, shares


def of(records: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [one for one in records if one["kind"] == kind]


def test_the_share_is_kept_over_a_long_run(monkeypatch):
    cost, every, seconds, share, steps = 0.5, 100, 0.01, 0.05, 20_000
    records, shares = simulated(
        monkeypatch, {Slow(blocks=50): every}, share=share, steps=steps, seconds=seconds
    )
    answers, put_off = of(records, "diagnostic"), of(records, "postponed")
    assert {one["document"]["status"] for one in answers} == {"converged"}  # each in full
    assert [one["seconds"] for one in answers] == pytest.approx([cost] * len(answers))
    assert [one["step"] % every for one in records] == [0] * (steps // every)
    assert answers[0]["step"] == 0
    # an answer every cost / share of time, later by no more than the way to the next date
    taken = np.diff([one["step"] for one in answers]) * seconds + cost
    assert (np.cumsum(taken) >= np.arange(1, len(taken) + 1) * cost / share - 1e-6).all()
    assert taken[0] <= 2 * cost / share  # the first is a debt
    assert taken[1:].max() <= cost / share + every * seconds
    assert len(answers) >= steps * seconds * share / cost * 0.9
    for one in answers[1:]:
        assert shares[one["step"]] <= share * (1 + 1e-9)
    assert put_off[0]["step"] == every
    assert put_off[0]["cost"] == pytest.approx(cost)
    assert put_off[0]["from"] == pytest.approx(2 * cost / share - cost)


def test_what_became_dearer_is_paid_back(monkeypatch):
    question = Slow(blocks=10)
    cost = [0.1]
    monkeypatch.setattr(Slow, "measure", lambda *_: (time.sleep(cost[0]), SlowResult())[1])
    clock, model = Clock(), mlp()
    monkeypatch.setattr(time, "sleep", clock.sleep)
    meter = Meter("cpu", clock)
    schedule = Schedule(
        {question: 10},
        model=model,
        optimizer=sgd(model),
        data=None,
        loss="auto",
        share=0.1,
        meter=meter,
    )
    answered = []
    for step in range(10_000):
        clock.sleep(0.01)
        meter.step()
        cost[0] = 0.1 if step < 5000 else 1.0
        answered += [step] if of(schedule.run(step), "diagnostic") else []
    assert meter.diagnostics <= 0.1 * meter.elapsed + 1.0
    assert meter.diagnostics >= 0.1 * meter.elapsed - 1.1


def test_a_cheap_diagnostic_does_not_starve_a_dear_one(monkeypatch):
    cheap, dear = Slow(blocks=1), Slow(blocks=200)
    records, shares = simulated(
        monkeypatch, {cheap: 10, dear: 100}, share=0.1, steps=10_000, seconds=0.01
    )
    answers = of(records, "diagnostic")
    count = {one: sum(a["question"] == repr(one) for a in answers) for one in (cheap, dear)}
    assert count[dear] >= 2
    assert count[cheap] >= 300
    assert shares[9_999] <= 0.1


def test_what_is_put_off_is_told(capsys):
    model = mlp()
    optimizer = sgd(model)
    with Recorder(model, optimizer, schedule={Slow(blocks=30): 2}, share=0.05) as recorder:
        train(model, optimizer, flat_loss, recorder, steps=7)
    told = capsys.readouterr().err
    found = recorder.log()
    assert [one["step"] for one in found.of("diagnostic")] == [0]
    assert [one["step"] for one in found.of("postponed")] == [2, 4, 6]
    assert "slow was put off at 3 of 4 dates: it takes 0." in told
    assert "of the time, pays for that every" in told
    assert re.search(r"the share of 0\.05 holds from \d+\.?\d* s on", told)
    verdict = next(one for one in recorder.result().verdicts if one.kind == "put off")
    assert verdict.evidence.startswith("At steps 2, 4, 6. At step 6 the run had taken 0.")


def test_a_diagnostic_that_fails_does_not_end_the_run():
    recorder = run(Slow(fails=True), 2, steps=6, share=1e9)
    log = recorder.log()
    assert len(log.of("step")) == 6
    assert log.of("diagnostic")[0]["error"]["what"] == "broken"
    result = recorder.result()
    assert {(one.status, one.error) for one in result.answers} == {("failed", "broken")}
    assert "failed: broken" in result.tables()[0].rows[0]


def test_the_sharpness_on_the_way():
    model = mlp()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    inputs = normal(32, 5, seed=0)
    probe = [(inputs, inputs[:, :3].argmax(1))]
    question: Any = ls.Spectrum(top=1, bottom=1, probes=2, lanczos_steps=16)
    with Recorder(
        model, optimizer, schedule={question: 4}, data=probe, loss="ce", share=1e9, quiet=True
    ) as recorder:
        for step in range(6):
            optimizer.zero_grad()
            flat_loss(model, step).backward()
            optimizer.step()
    record = recorder.log().of("diagnostic")[-1]
    document = record["document"]
    assert record["step"] == 4
    assert document["answer"]["step"] == 4
    assert document["provenance"]["weights_fingerprint"]
    every = recorder.log().of("diagnostic")
    assert all(Status(one["document"]["status"]).settled for one in every)
    top = document["answer"]["eigenvalues"]["top"][0]
    number = next(one for one in record["headline"] if one["name"] == "λ_max")
    assert (number["value"], number["interval"]) == (top["value"], top["interval"])
    result = recorder.result()
    answer = result.answers[-1]
    assert (answer.step, answer.question, answer.status) == (4, "spectrum", document["status"])
    assert answer.headline[0].estimate.value == pytest.approx(top["value"])
    table = next(one for one in result.tables() if one.title == "Scheduled diagnostics")
    assert table.rows[-1][:4] == (4, "spectrum", "λ_max", pytest.approx(top["value"]))
    drawn = history_ink(result).answers["λ_max\nspectrum"]
    assert drawn[0].tolist() == [0, 4]
    assert drawn[1:, 1] == pytest.approx([top["value"], *top["interval"]])
    assert TrackResult.from_json(result.to_json()).to_json() == result.to_json()


@pytest.mark.parametrize(
    ("questions", "told"),
    [
        ({Slow(): 0}, "every 0 steps"),
        ({ls.Spectrum(): 5}, "without data"),
        ({ls.Connect(): 5}, "without data|several checkpoints"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_the_run(questions, told):
    model = mlp()
    with pytest.raises(SettingError, match=told):
        Recorder(model, sgd(model), schedule=questions)
