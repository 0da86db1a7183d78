"""Many questions about one subject, under one plan: finished answers are kept, a failed one too."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from torch import nn

from landscape.answer import Cost
from landscape.base import Diagnostic
from landscape.diagnostics import DIAGNOSTICS
from landscape.errors import (
    InputError,
    LandscapeError,
    NumericalError,
    SettingError,
    out_of_memory,
)
from landscape.reports.report import Failure, Report, Section, Skipped
from landscape.subject.files.checkpoint import Checkpoint
from landscape.subject.subject import Subject

Preset = Literal["quick", "standard", "full"]


def report(
    *checkpoints: Checkpoint | str | Path,
    model: nn.Module | str | None = None,
    data: object = None,
    loss: Any = "auto",
    preset: Preset = "standard",
    seed: int = 0,
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
        attaching: Further arguments of `Subject`.

    Raises:
        InputError: Something given cannot be used; nothing was computed then.
    """
    subject = Subject(model, loss, data, checkpoints, seed=seed, **attaching)
    return survey(subject, preset=preset, seed=seed)


def survey(
    subject: Subject,
    *,
    preset: Preset = "standard",
    seed: int = 0,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    command: str | None = None,
) -> Report:
    """Ask every diagnostic that a subject allows.

    Args:
        subject: What is studied.
        preset: How much to spend.
        seed: Of every random draw.
        settings: Settings by diagnostic, in place of the preset's.
        command: The command line, for the report's last chapter.

    An answer that is in the subject's memory is not computed again, so that an interrupted survey
    goes on where it was.
    """
    asked = [kind for kind in DIAGNOSTICS if kind.surveyed]
    questions = [_question(kind, preset, seed, settings or {}) for kind in asked]
    subject, broken = _with_usable_data(subject)
    sections: list[Section] = []
    skipped: list[Skipped] = []
    failures: list[Failure] = []
    for question in questions:
        name = question.name
        if broken is not None and question.needs.data:
            failures.append(Failure(section=name, error=broken.to_json()))
        elif (missing := question.needs.missing(subject)) is not None:
            skipped.append(Skipped(section=name, reason=missing[0], unlock=missing[1]))
        else:
            try:
                result = question.fitted(subject).run(subject)
            except Exception as error:  # a failed section must not lose the others
                failures.append(Failure(section=name, error=_described(error)))
            else:
                sections.append(Section(name=name, question=question.question, result=result))
    return Report(
        sections=tuple(sections),
        skipped=tuple(skipped),
        failures=tuple(failures),
        settings={"preset": preset},
        seed=seed,
        cost=Cost.total([section.result.cost for section in sections]),
        provenance={**subject.provenance(), "date": _today(), "command": command},
    )


def _question(
    kind: type[Diagnostic[Any]],
    preset: str,
    seed: int,
    settings: Mapping[str, Mapping[str, Any]],
) -> Diagnostic[Any]:
    if preset not in get_args(Preset):
        raise SettingError(
            f"there is no preset {preset!r}",
            where="report",
            why=f"presets are {', '.join(get_args(Preset))}",
            hint="the default is standard",
        )
    return kind.preset(preset, seed=seed, **settings.get(kind.name, {}))


def _with_usable_data(subject: Subject) -> tuple[Subject, NumericalError | None]:
    """Raise what is wrong with the inputs before anything is computed or written.

    Numbers that are not finite are told by the sections that need them; the weights are still
    reported. A subject whose data cannot be used comes back without them, with the reason.
    """
    if subject.model is None:
        return subject, None
    try:
        if subject.batches is None:
            return subject, None
    except NumericalError as error:
        return subject.without_data(), error
    try:
        _ = subject.count
    except NumericalError:
        return subject, None
    return subject, None


def _described(error: Exception) -> dict[str, Any]:
    if isinstance(error, InputError):
        raise error
    if isinstance(error, LandscapeError):
        return error.to_json()
    if (resources := out_of_memory(error)) is not None:
        return resources.to_json()
    defect = LandscapeError(
        f"{type(error).__name__}: {error}",
        where="this section",
        why="a defect in landscape, or in the network's own code",
        hint="run the section alone with --debug to see the traceback",
    )
    return defect.to_json()


def _today() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
