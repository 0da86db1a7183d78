"""The command of a diagnostic, made from its settings and its needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import click

from landscape.budget import spending, spent

from .attach import attach, subject_parameters, tell_notes
from .options import budget_option, setting_options, tell_spent
from .output import check_folder, deliver, forget, output_parameters, speaks
from .progress import shown

if TYPE_CHECKING:
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

    def callback(**values: Any) -> None:
        output: Path | None = values.pop("output")
        force, quiet = values.pop("force"), values.pop("quiet")
        as_json, strict, _ = values.pop("as_json"), values.pop("strict"), values.pop("debug")
        drawn = (name, *(f"{name}-{picture}" for picture in diagnostic.result.picture_names))
        figures = (f"{one}.{kind}" for one in drawn for kind in ("png", "svg"))
        names = [f"{name}.json", *figures, *getattr(diagnostic, "files", ())]
        check_folder(output, names, force=force)
        settings = {key: values.pop(key) for key in diagnostic.options() if key != "seed"}
        question = diagnostic(seed=values["seed"], **settings)
        folder = output / "cache" if output is not None else None
        if force and output is not None:
            forget(output)
        budget = values.pop("budget", None)
        with shown(quiet=quiet), spending(budget):
            subject = attach(values, folder=folder)
            result = question.run(subject)
            late = spent()
            if isinstance(question, Keeping):
                question.keep(subject, output if speaks() else None)
        if late and not quiet:
            tell_spent(budget, result.cost)
        if not quiet:
            tell_notes(result.provenance)
        deliver(result, output=output, as_json=as_json, strict=strict)

    least = diagnostic.needs.checkpoints[0]
    files = ["run/final.pt"] if least < 2 else [f"runs/{i}/final.pt" for i in range(least)]
    *_, command = words = name.split("-")
    example = " ".join(["landscape", *words, *files])
    if diagnostic.needs.model:
        example += " --model nets.py:build --data nets.py:data"
    studied = subject_parameters(diagnostic.needs)
    parameters = [
        *(one for one in studied if one.name not in diagnostic.options()),
        *setting_options(diagnostic),
        *([budget_option()] if diagnostic.needs.data and diagnostic.budgeted else []),
        *output_parameters(),
    ]
    return click.Command(
        command,
        params=parameters,
        callback=callback,
        help=diagnostic.__doc__,
        epilog=f"Example: {example}",
    )
