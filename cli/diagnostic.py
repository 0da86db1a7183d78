"""The command of a diagnostic, made from its settings and its needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import click

from landscape.budget import spending, spent

from .attach import attach, subject_parameters, tell_notes
from .configured import Configured, settled
from .dry_run import dry_run_option, plan
from .interruption import keeping
from .options import (
    budget_option,
    preset_option,
    setting_options,
    sketched_options,
    tell_spent,
)
from .output import check_folder, deliver, forget, output_parameters, speaks, tell_cost, verbose
from .progress import shown
from .source import Sketch

if TYPE_CHECKING:
    from landscape.answer import Result
    from landscape.base import Diagnostic
    from landscape.subject.subject import Subject


@runtime_checkable
class Keeping(Protocol):
    """A question whose answer comes with files that are no JSON: they are written beside it."""

    files: ClassVar[tuple[str, ...]]

    def keep(self, subject: Subject, folder: Path | None) -> None:
        """Write them into a folder; None: those alone that a setting names."""
        ...


def command_of(name: str) -> click.Command:
    """Return the command of a diagnostic; that of `tickets-score` is `landscape tickets score`."""
    from landscape.diagnostics import by_name

    diagnostic = by_name(name)
    settings = [*setting_options(diagnostic)]
    needs = diagnostic.needs
    *_, command = words = name.split("-")
    return Configured(
        command,
        table=tuple(words),
        presets=diagnostic.presets,
        callback=lambda **values: _run(diagnostic, values),
        params=_parameters(
            subject_parameters(needs),
            settings,
            preset=bool(diagnostic.presets),
            budget=needs.data and diagnostic.budgeted,
        ),
        help=diagnostic.__doc__,
        epilog=f"Example: {_example(diagnostic)}",
    )


def sketch_of(name: str) -> click.Command:
    """Return the command of a diagnostic by its source: for completion and names, not to be run."""
    sketch = Sketch.of(name)
    *_, command = words = name.split("-")
    parameters = _parameters(
        subject_parameters(sketch),
        [*sketched_options(sketch)],
        preset=sketch.presets,
        budget=sketch.data and sketch.budgeted,
    )
    return Configured(command, table=tuple(words), params=parameters)


def _parameters(
    studied: Sequence[click.Parameter],
    settings: Sequence[click.Option],
    *,
    preset: bool,
    budget: bool,
) -> list[click.Parameter]:
    taken = {one.name for one in settings}
    return [
        *(one for one in studied if one.name not in taken),
        *settings,
        *([preset_option()] if preset else []),
        *([budget_option()] if budget else []),
        *output_parameters(),
        dry_run_option(),
    ]


def _run(diagnostic: type[Diagnostic[Any]], values: dict[str, Any]) -> Result | None:
    """Answer a question, deliver the answer and return it; None after a dry run."""
    output: Path | None = values.pop("output")
    force, quiet = values.pop("force"), values.pop("quiet")
    as_json, strict, _ = values.pop("as_json"), values.pop("strict"), values.pop("debug")
    dry, _ = values.pop("dry_run"), values.pop("preset", None)
    names = _files(diagnostic)
    settings = {key: values.pop(key) for key in diagnostic.options() if key != "seed"}
    question = diagnostic(seed=values["seed"], **settings)
    budget = values.pop("budget", None)
    if dry:
        with spending(budget):
            subject = attach(values)
            plan(question, subject, output=output, names=names, force=force, as_json=as_json)
        return None
    folder = output / "cache" if output is not None else None
    with keeping(folder), shown(quiet=quiet), spending(budget):
        subject = attach(values, folder=folder)
        check_folder(output, names, force=force)
        if force and output is not None:
            forget(output)
        result = question.run(subject)
        late = spent() or result.status.value == "budget_spent"
        if isinstance(question, Keeping):
            question.keep(subject, output if speaks() else None)
    result = replace(result, provenance={**result.provenance, **settled().provenance()})
    if not quiet:
        _tell(result, budget if late else None)
    deliver(result, output=output, as_json=as_json, strict=strict)
    return result


def _tell(result: Result, overspent: Any) -> None:
    """Print on stderr what stands beside the answer."""
    if overspent is not None:
        tell_spent(overspent, result.cost)
    tell_notes(result.provenance)
    if verbose():
        tell_cost(result)


def _files(diagnostic: type[Diagnostic[Any]]) -> list[str]:
    """Return the names of what `-o` writes."""
    pictures = (f"{diagnostic.name}-{one}" for one in diagnostic.result.picture_names)
    figures = [f"{one}.{kind}" for one in (diagnostic.name, *pictures) for kind in ("png", "svg")]
    return [f"{diagnostic.name}.json", *figures, *getattr(diagnostic, "files", ())]


def _example(diagnostic: type[Diagnostic[Any]]) -> str:
    least = diagnostic.needs.checkpoints[0]
    first = "init.pt" if diagnostic.name in ("tickets-find", "tickets-eval") else "final.pt"
    files = [f"run/{first}"] if least < 2 else [f"runs/{i}/final.pt" for i in range(least)]
    example = " ".join(["landscape", *diagnostic.name.split("-"), *files])
    if diagnostic.needs.model:
        example += " --model nets.py:build --data nets.py:data"
    return example
