"""Diagnostics in a loop keep to their share of time, and never end the run."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import torch

import landscape as ls
from landscape import budget
from landscape.answer import Result
from landscape.base import Diagnostic, Needs, Question
from landscape.errors import NumericalError, SettingError
from landscape.estimate import Status
from landscape.recorder.recorder import Recorder
from landscape.subject.subject import Subject
from tests.cases import normal
from tests.recorder.runs import flat_loss, mlp, sgd

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
    # the clock starts with the first step, so nothing can be afforded before
    assert [one["step"] for one in found][-2:] == [3, 6]
    assert [one["document"]["answer"]["step"] for one in found][-2:] == [3, 6]
    assert found[-1]["document"]["answer"]["rate"] == 0.25


def test_the_share_is_kept():
    recorder = run(Slow(blocks=3), 1, steps=150, share=0.2, pause=0.005)
    cost = recorder.overhead
    found = recorder.log().of("diagnostic")
    assert cost.diagnostics / cost.seconds < 0.2 + 0.05
    assert 3 <= len(found) < 60
    assert any("waited" in one for one in found)


def test_what_does_not_fit_says_so():
    recorder = run(Slow(blocks=10_000), 5, steps=60, share=0.3, pause=0.005)
    found = recorder.log().of("diagnostic")
    assert found
    assert {one["document"]["status"] for one in found} == {"budget_spent"}
    cost = recorder.overhead
    assert cost.diagnostics / cost.seconds < 0.45


def test_a_diagnostic_that_fails_does_not_end_the_run():
    recorder = run(Slow(fails=True), 2, steps=6, share=1e9)
    log = recorder.log()
    assert len(log.of("step")) == 6
    assert log.of("diagnostic")[0]["error"]["what"] == "broken"
    assert any("failed: broken" in one for one in recorder.result().answers)


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
    told = " ".join(recorder.result().answers)
    assert re.search(r"step 4: spectrum \w+, λ₁ \d", told)


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
