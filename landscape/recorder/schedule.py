"""Diagnostics inside a training loop, within a share of its time."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from torch import nn
from torch.optim import Optimizer

from landscape.base import Diagnostic
from landscape.budget import Budget, spending
from landscape.errors import LandscapeError, SettingError
from landscape.estimate import Status
from landscape.recorder.overhead import Meter
from landscape.subject.files.checkpoint import Checkpoint
from landscape.subject.network import unwrapped
from landscape.subject.ranks import Ranks
from landscape.subject.subject import Subject


class Schedule:
    """Asks each diagnostic every so many steps, as long as the share of time allows it.

    A diagnostic that is due waits until what it took the last time fits into what is left of the
    share, and is stopped when that is spent: its answer says so, and it is given twice the time
    before it is asked again.

    Args:
        questions: Diagnostics, and the steps between their answers.
        model: The network.
        optimizer: Its state goes with the weights, so that the stability margin is known.
        data: A probe, as `Subject` takes it.
        loss: As `Subject` takes it.
        share: Of wall-clock time; infinity: no bound.
        meter: What the run has taken so far.
    """

    def __init__(
        self,
        questions: Mapping[Diagnostic[Any], int],
        *,
        model: nn.Module,
        optimizer: Optimizer,
        data: object,
        loss: Any,
        share: float,
        meter: Meter,
    ) -> None:
        self._questions = dict(questions)
        self._model = unwrapped(model)
        self._optimizer = optimizer
        self._given = (data, loss)
        self._share = share
        self._meter = meter
        self._due = dict.fromkeys(self._questions, -1)  # the step since which it is due
        self._taken = dict.fromkeys(self._questions, 0.0)
        self._check()

    def run(self, step: int) -> list[dict[str, Any]]:
        """Ask what is due after a step, and return the records of the answers."""
        records = []
        for question, every in self._questions.items():
            if self._due[question] < 0 and step % every == 0:
                self._due[question] = step
            if self._due[question] >= 0 and self._affordable(question):
                with self._meter.diagnosing():
                    records.append(self._ask(question, step))
                self._due[question] = -1
        return records

    def _affordable(self, question: Diagnostic[Any]) -> bool:
        left = self._left()
        return left > 0 and self._taken[question] <= left

    def _left(self) -> float:
        return self._share * self._meter.elapsed - self._meter.diagnostics

    def _ask(self, question: Diagnostic[Any], step: int) -> dict[str, Any]:
        started, left = time.perf_counter(), self._left()
        record: dict[str, Any] = {"kind": "diagnostic", "step": step, "name": question.name}
        if (waited := step - self._due[question]) > 0:
            record["waited"] = waited
        bound = Budget(seconds=left) if math.isfinite(left) else None
        try:
            with spending(bound) if bound is not None else nullcontext():
                answer = question.run(self._subject(step))
            record["document"] = answer.to_json()
            cut = answer.status is Status.BUDGET_SPENT
        except Exception as error:  # training goes on, whatever happens to what watches it
            record["error"] = _told(error)
            cut = False
        self._taken[question] = (time.perf_counter() - started) * (2 if cut else 1)
        return record

    def _subject(self, step: int) -> Subject:
        data, loss = self._given
        held = Checkpoint.of_model(self._model, f"step {step}")
        rate = self._optimizer.param_groups[0].get("lr")
        checkpoint = replace(
            held,
            step=step,
            learning_rate=float(rate) if rate is not None else None,
            optimizer=self._optimizer.state_dict(),
        )
        device = next(self._model.parameters()).device
        return Subject(self._model, loss, data, checkpoint, device=device, ranks=Ranks())

    def _check(self) -> None:
        for question, every in self._questions.items():
            if every < 1:
                raise SettingError(
                    f"{question.name} cannot be asked every {every} steps",
                    where="Recorder.schedule",
                    hint="give a number of steps, at least 1",
                )
            if question.needs.data and self._given[0] is None:
                raise SettingError(
                    f"{question.name} cannot be asked without data",
                    where="Recorder.schedule",
                    why="the batches of the run itself are seen once and are gone",
                    hint="give a fixed probe: Recorder(..., data=[batch], loss='ce')",
                )
            if question.needs.checkpoints[0] > 1:
                raise SettingError(
                    f"{question.name} needs several checkpoints",
                    where="Recorder.schedule",
                    hint="save checkpoints, and ask it afterwards",
                )


def _told(error: Exception) -> dict[str, Any]:
    if isinstance(error, LandscapeError):
        return error.to_json()
    return LandscapeError(f"{type(error).__name__}: {error}", hint="ask it afterwards").to_json()
