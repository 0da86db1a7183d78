"""Asking what is planned: finished answers are kept, a failed section does not lose the others."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from landscape import budget, progress
from landscape.answer import Cost
from landscape.budget import BudgetError
from landscape.connectivity.result import ConnectResult
from landscape.errors import InputError, LandscapeError, not_differentiable, out_of_memory
from landscape.reports.plan import DATA, Plan, Planned, Preset, plan_of
from landscape.reports.report import Failure, Report, Section, Skipped
from landscape.subject.files.checkpoint import Checkpoint
from landscape.subject.subject import Subject
from landscape.survey.agreement import agreements_of
from landscape.survey.inputs import examined

TRAINED, BUDGET = "checkpoints of trained networks", "a larger --budget"  # unlock sections


def report(
    *checkpoints: Checkpoint | str | Path,
    model: nn.Module | str | None = None,
    data: object = None,
    loss: Any = "auto",
    preset: Preset = "standard",
    seed: int = 0,
    train: str = "",
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    **attaching: Any,
) -> Report:
    """Return every section that the inputs allow, bound into one report.

    Args:
        checkpoints: Paths or checkpoints, in the order of training; none: the model as it is.
        model: A module or a spec string; without one, the weights alone are studied.
        data: What `Subject` takes.
        loss: What `Subject` takes.
        preset: How much to spend: quick, standard or full.
        seed: Of every random draw.
        train: Spec of a training function, `file.py:train`, which unlocks lottery tickets; `plain`
            for plain training by the settings of that section.
        settings: Settings by diagnostic, in place of the preset's.
        attaching: Further arguments of `Subject`.

    Raises:
        InputError: Something given cannot be used; nothing was computed then.
    """
    subject = Subject(model, loss, data, checkpoints, seed=seed, **attaching)
    return survey(subject, preset=preset, seed=seed, train=train, settings=settings)


def survey(
    subject: Subject,
    *,
    preset: Preset = "standard",
    seed: int = 0,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    train: str = "",
    tell: Callable[[Plan], object] | None = None,
) -> Report:
    """Ask every diagnostic that a subject allows, one after another.

    Args:
        subject: What is studied.
        preset: How much to spend.
        seed: Of every random draw.
        settings: Settings by diagnostic, in place of the preset's.
        train: Spec of a training function, or `plain`; empty: what trains networks is skipped.
        tell: Is told the plan before anything is computed.

    A budget in force is shared by the plan's weights. An answer that is in the subject's memory is
    not computed again, so that an interrupted survey goes on where it was. Numbers that are not
    finite are told by the sections that need them; the weights are still reported.

    Raises:
        InputError: Something given cannot be used; nothing was computed then.
    """
    given = examined(subject, train)
    subject = given.subject
    plan = plan_of(subject, preset=preset, seed=seed, settings=settings, train=train)
    found = _Found(skipped=list(plan.skipped))
    if given.lost is not None:
        found.lose(given.lost)
    if tell is not None:
        tell(plan)
    with progress.task("sections", len(plan.asked)) as task:
        for number, planned in enumerate(plan.asked, start=1):
            place = progress.within(planned.name, number, len(plan.asked))
            with place, budget.shared(plan.parts(planned)):
                _ask(planned, subject, found)
            task.advance()
    found.require_an_answer()
    place = {one.name: number for number, one in enumerate(plan.sections)}
    return Report(
        sections=tuple(found.sections),
        skipped=tuple(sorted(found.skipped, key=lambda one: place[one.section])),
        failures=tuple(sorted(found.failures, key=lambda one: place[one.section])),
        agreements=agreements_of(found.sections),
        settings={"preset": preset, **({"train": train} if train else {})},
        seed=seed,
        cost=Cost.total([section.result.cost for section in found.sections]),
        provenance={**subject.provenance(), "date": _today()},
    )


@dataclass
class _Found:
    """What became of the sections so far."""

    skipped: list[Skipped]
    sections: list[Section] = field(default_factory=list[Section])
    failures: list[Failure] = field(default_factory=list[Failure])
    refusals: list[InputError] = field(default_factory=list[InputError])

    def lose(self, error: LandscapeError) -> None:
        """Take what is skipped for want of data that cannot be used as failed."""
        lost = [one for one in self.skipped if one.unlock == DATA]
        self.skipped = [one for one in self.skipped if one.unlock != DATA]
        self.failures = [Failure(section=one.section, error=error.to_json()) for one in lost]

    def fail(self, name: str, error: Exception) -> None:
        """Take a section as failed."""
        error = out_of_memory(error) or not_differentiable(error) or error
        if isinstance(error, InputError):
            self.refusals.append(error)
        self.failures.append(Failure(section=name, error=_described(error)))

    def refuse(self, name: str, reason: str, unlock: str) -> None:
        """Take a section as asked, and not answered."""
        self.skipped.append(Skipped(section=name, reason=reason, unlock=unlock, refused=True))

    def require_an_answer(self) -> None:
        """Refuse inputs of which no section but that of the weights could make anything.

        Raises:
            InputError: As the first section said.
        """
        if self.refusals and all(one.question == "weights" for one in self.sections):
            raise self.refusals[0]


def _ask(planned: Planned, subject: Subject, found: _Found) -> None:
    """Answer one section, or say why not."""
    name, question = planned.name, planned.question
    if question.needs.data and (limit := budget.reached()) is not None:
        reason = f"{limit} was spent before it"
        found.skipped.append(Skipped(section=name, reason=reason, unlock=BUDGET))
        return
    try:
        part = question.part(subject)
        result = question.fitted(part).run(part)
    except BudgetError as error:
        found.refuse(name, error.what, BUDGET)
        return
    except Exception as error:  # a failed section must not lose the others
        found.fail(name, error)
        return
    if isinstance(result, ConnectResult) and result.declined:
        found.refuse(name, result.declined, TRAINED)
        return
    found.sections.append(Section(name=name, question=question.question, result=result))


def _described(error: Exception) -> dict[str, Any]:
    if isinstance(error, LandscapeError):
        return error.to_json()
    defect = LandscapeError(
        f"{type(error).__name__}: {error}",
        where="this section",
        why="a defect in landscape, or in the network's own code",
        hint="run the section alone with --debug to see the traceback",
    )
    return defect.to_json()


def _today() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
