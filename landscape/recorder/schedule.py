"""Diagnostics inside a training loop, within a share of its time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import nn
from torch.optim import Optimizer

from landscape.answer import Result
from landscape.base import Diagnostic
from landscape.encode import encode
from landscape.errors import LandscapeError, SettingError
from landscape.recorder.overhead import Meter
from landscape.subject.files.checkpoint import Checkpoint
from landscape.subject.network import unwrapped
from landscape.subject.ranks import Ranks
from landscape.subject.subject import Subject


@dataclass(kw_only=True)
class _Account:
    """What one diagnostic has cost.

    Args:
        every: Steps between the dates at which it is due.
        taken: Seconds that it took the last time; None: it was not asked yet.
        spent: Seconds that it took in all.
    """

    every: int
    taken: float | None = None
    spent: float = 0.0


class Schedule:
    """Asks each diagnostic every so many steps, as long as the share of time allows it.

    The share is divided evenly among the diagnostics. The first time that one is due it is asked
    whatever it costs: this measures what it takes, and counts as a debt. From then on it is asked
    at those of its dates at which, with what it took the last time, it keeps within its part of
    the time of the run; dates at which it does not are put off, which is recorded. It is always
    asked in full: an answer that a budget cuts short tells little.

    Over a run of T seconds all of them take at most share × T, and besides what the first answers
    take and what the last ones take longer than those before them.

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
        self._accounts = {one: _Account(every=every) for one, every in questions.items()}
        self._model = unwrapped(model)
        self._optimizer = optimizer
        self._given = (data, loss)
        self._part = share / max(len(self._accounts), 1)
        self._meter = meter
        self._check()

    def run(self, step: int) -> list[dict[str, Any]]:
        """Ask what is due after a step; return the records of answers and of what is put off."""
        records = []
        for question, account in self._accounts.items():
            if step % account.every:
                continue
            record = {"step": step, "name": question.name, "question": repr(question)}
            if self._pays(account):
                records.append({"kind": "diagnostic", **record, **self._ask(question, step)})
            else:
                records.append({"kind": "postponed", **record, **self._why(account)})
        return records

    def _pays(self, account: _Account) -> bool:
        if (taken := account.taken) is None:
            return True
        return account.spent + taken <= self._part * (self._meter.elapsed + taken)

    def _why(self, account: _Account) -> dict[str, float]:
        """Return what it costs, the time now, and that from which on its part pays for it."""
        taken = account.taken or 0.0
        return {
            "cost": taken,
            "share": self._part,
            "at": self._meter.elapsed,
            "from": (account.spent + taken) / self._part - taken,
        }

    def _ask(self, question: Diagnostic[Any], step: int) -> dict[str, Any]:
        account, before = self._accounts[question], self._meter.diagnostics
        record: dict[str, Any] = {}
        with self._meter.diagnosing():
            try:
                answer = question.run(self._subject(step))
                record = {"headline": _headline(answer), "document": answer.to_json()}
            except Exception as error:  # training goes on, whatever happens to what watches it
                record = {"error": _told(error)}
        account.taken = self._meter.diagnostics - before
        account.spent += account.taken
        return {"seconds": account.taken, **record}

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
        for question, account in self._accounts.items():
            if account.every < 1:
                raise SettingError(
                    f"{question.name} cannot be asked every {account.every} steps",
                    where="Recorder.schedule",
                    why="steps are counted from 1",
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
                    why="a run has one set of weights at a time",
                    hint="save checkpoints, and ask it afterwards",
                )


def _headline(answer: Result) -> list[dict[str, Any]]:
    """Return the numbers that a reader looks for first, each with its name."""
    return [{"name": name, **encode(one)} for name, one in answer.headline()]


def _told(error: Exception) -> dict[str, Any]:
    if isinstance(error, LandscapeError):
        return error.to_json()
    return LandscapeError(
        f"{type(error).__name__}: {error}",
        where="Recorder.schedule",
        why="the run goes on without this answer",
        hint="ask it afterwards",
    ).to_json()
