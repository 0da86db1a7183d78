"""Check after check: one that fails is told, what depends on it is skipped, the rest goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from landscape import progress
from landscape.answer import Cost
from landscape.doctor import evaluation, inputs, plans, products
from landscape.doctor.answer import (
    Check,
    Doctor,
    MemoryPlan,
    SectionPlan,
    State,
    TimePlan,
    Way,
)
from landscape.doctor.parts import Parts
from landscape.doctor.verdict import NotGiven, Verdict
from landscape.errors import LandscapeError, out_of_memory
from landscape.operators.pace import pace_of
from landscape.reports.plan import Preset
from landscape.subject.cost import measuring
from landscape.subject.files.checkpoint import Checkpoint
from landscape.subject.subject import Subject
from landscape.work import Pace

Question = Callable[[Parts], Verdict]


def examine(subject: Subject, *, preset: Preset = "standard", seed: int = 0) -> Doctor:
    """Return what works on a subject, what does not, and what the real thing will cost.

    No check stops the others. Nothing of the user's is changed.

    Args:
        subject: What is examined.
        preset: Of the report whose cost is foretold.
        seed: Of the same.

    Cost: about ten passes over the data, and up to 37 products by each of four ways, on as many of
    the data as take less than half a minute.
    """
    return _Examination(Parts.of(subject), preset, seed).run()


def preflight(
    model: nn.Module | str | None = None,
    loss: Any = "auto",
    data: object = None,
    checkpoints: Checkpoint | str | Path | Sequence[Checkpoint | str | Path] = (),
    *,
    preset: Preset = "standard",
    seed: int = 0,
    **attaching: Any,
) -> Doctor:
    """Return the same for what a `Subject` would be made of, also when it cannot be.

    Args:
        model: As `Subject` takes it, like everything else.
        loss: The loss.
        data: The data.
        checkpoints: The last is examined; all must be readable.
        preset: Of the report whose cost is foretold.
        seed: Of the same, and of the samples that are chosen.
        attaching: Further arguments of `Subject`.
    """
    given = {"model": model, "loss": loss, "data": data, "checkpoints": checkpoints}
    return _Examination(Parts({**given, **attaching, "seed": seed}), preset, seed).run()


class _Examination:
    """The checks of some parts, in order."""

    def __init__(self, parts: Parts, preset: Preset, seed: int) -> None:
        self.parts = parts
        self.preset: Preset = preset
        self.seed = seed
        self.checks: dict[str, Check] = {}
        self._causes: dict[str, str] = {}  # of what is skipped: the check that began it
        self.seconds = 0.0
        self.ways: tuple[Way, ...] = ()
        self.memory: MemoryPlan | None = None
        self.time: tuple[TimePlan, ...] = ()
        self.report: tuple[SectionPlan, ...] = ()

    def run(self) -> Doctor:
        """Ask every check."""
        started = time.perf_counter()
        self._ask("device", (), inputs.check_device)
        device = self.parts.device if self._stands("device") else torch.device("cpu")
        with measuring(device) as meter:
            self._inputs()
            self._function()
            self._products()
        batches = self.parts.batches if self._stands("data") else None
        return Doctor(
            checks=tuple(self.checks.values()),
            ways=self.ways,
            memory=self.memory,
            time=self.time,
            report=self.report,
            preset=self.preset,
            seed=self.seed,
            cost=Cost(
                seconds=time.perf_counter() - started,
                products=meter.products,
                peak_memory_bytes=meter.peak_memory_bytes(),
                samples=batches.samples if batches is not None else 0,
            ),
            provenance=self.parts.provenance(),
        )

    def _inputs(self) -> None:
        self._ask("checkpoint", (), inputs.check_checkpoint)
        self._ask("model", (), inputs.check_model)
        self._ask("parameters", ("model",), inputs.check_parameters)
        self._ask("load map", ("device", "checkpoint", "parameters"), inputs.check_load_map)
        held = "load map" if self.parts.has_model else "checkpoint"
        self._ask("weights", (held,), inputs.check_weights)
        self._ask("modules", ("load map", "weights"), inputs.check_modules)
        self._ask("optimizer", ("load map",), inputs.check_optimizer)
        self._ask("data", ("device",), inputs.check_data)

    def _function(self) -> None:
        self._ask("forward", ("load map", "weights", "data"), evaluation.check_forward)
        self._ask("determinism", ("forward",), evaluation.check_determinism)
        self._ask("loss", ("determinism",), self._loss)
        self._ask("held-out", ("loss",), evaluation.check_held_out)
        self._ask("gradient", ("loss",), evaluation.check_gradient)

    def _products(self) -> None:
        self._ask("derivative", ("gradient",), products.check_derivative)
        self._ask("products", ("gradient",), self._ways)
        self._ask("memory", ("loss",), self._memory)
        self._ask("time", ("products",), self._time)
        self._ask("report", ("products",), self._report)

    def _loss(self, parts: Parts) -> Verdict:
        verdict, self.seconds = evaluation.check_loss(parts)
        return verdict

    def _ways(self, parts: Parts) -> Verdict:
        self.ways = products.time_ways(parts, self.seconds)
        return products.judge_ways(self.ways)

    def _memory(self, parts: Parts) -> Verdict:
        self.memory = plans.plan_memory(parts)
        return plans.judge_memory(self.memory)

    def _time(self, parts: Parts) -> Verdict:
        self.time = plans.plan_time(parts, self._pace)
        return plans.judge_time(self.time)

    def _report(self, parts: Parts) -> Verdict:
        self.report, verdict = plans.plan_report(parts, self._pace, self.preset, self.seed)
        return verdict

    @cached_property
    def _pace(self) -> Pace:
        """Return how fast passes and products are: one trial for all that is foretold."""
        return pace_of(self.parts.subject)

    def _stands(self, name: str) -> bool:
        return self.checks[name].status in (State.OK, State.WARN)

    def _ask(self, name: str, needs: tuple[str, ...], question: Question) -> None:
        """Make a check, unless one that it needs did not come out well."""
        unmet = next((need for need in needs if not self._stands(need)), None)
        if unmet is not None:
            self._causes[name] = cause = self._causes.get(unmet, unmet)
            ended = "failed" if self.checks[cause].status is State.FAIL else "was not given"
            self.checks[name] = _skipped(name, f"not looked at: {cause} {ended}")
            return
        with progress.task(f"doctor: {name}"):
            try:
                self.checks[name] = _answered(name, question(self.parts))
            except NotGiven as missing:
                self.checks[name] = _skipped(name, missing.reason, missing.next)
            except Exception as error:  # one that fails must not lose the others
                self.checks[name] = _failed(name, _known(error))


def _answered(name: str, verdict: Verdict) -> Check:
    status = State.WARN if verdict.why else State.OK
    return Check(name=name, status=status, found=verdict.found, why=verdict.why, next=verdict.next)


def _skipped(name: str, found: str, hint: str = "") -> Check:
    return Check(name=name, status=State.SKIPPED, found=found, next=hint)


def _failed(name: str, error: LandscapeError) -> Check:
    why = f"{error.where}: {error.why}" if error.where and error.why else error.where or error.why
    return Check(
        name=name,
        status=State.FAIL,
        found=error.what,
        why=why,
        next=error.hint,
        code=error.code,
        exit=error.exit,
    )


def _known(error: Exception) -> LandscapeError:
    if isinstance(error, LandscapeError):
        return error
    return out_of_memory(error) or LandscapeError(
        f"{type(error).__name__}: {error}",
        where="this check",
        why="a defect in landscape, or in the network's own code",
        hint="ask `landscape spectrum` with --debug to see the traceback",
    )
