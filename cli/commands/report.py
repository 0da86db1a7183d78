"""Every section that the inputs allow, bound into HTML, JSON and Markdown."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from landscape.budget import spending, spent
from landscape.errors import NumericalError

from ..attach import attach, subject_parameters, tell_notes
from ..failures import Failed, show_error
from ..options import budget_option, tell_spent
from ..output import check_folder, forget, speaks, unsettled, verbosity_parameters
from ..progress import shown
from ..terminal import plain

FILES = ("report.html", "report.json", "report.md")


def run(**values: Any) -> None:
    """Write the report and print where it is and what it found."""
    from landscape.encode import to_text
    from landscape.survey import survey

    output: Path = values.pop("output")
    force, quiet, as_json = values.pop("force"), values.pop("quiet"), values.pop("as_json")
    strict = values.pop("strict")
    check_folder(output, FILES, force=force)
    seed, preset = values["seed"], values.pop("preset")
    settings = {"spectrum": {"crosscheck": values.pop("crosscheck")}}
    if force:
        forget(output)
    budget = values.pop("budget")
    with shown(quiet=quiet), spending(budget):
        subject = attach(values, folder=output / "cache")
        report = survey(subject, preset=preset, seed=seed, settings=settings, command=_command())
        late = spent()
    if budget is not None:
        report = replace(report, settings={**report.settings, "budget": str(budget)})
        if late and not quiet:
            tell_spent(budget, report.cost)
    if not quiet:
        tell_notes(report.provenance)
    if speaks():
        report.save(output, force=True)
    if as_json:
        click.echo(to_text(report.to_json()), nl=False)
    else:
        click.echo(plain(report.summary(), lines=True))
        click.echo(f"report: {output / 'report.html'}")
    if report.exit_code:
        raise Failed(report.exit_code)
    if strict and not report.status.settled:
        show_error(unsettled("report", report.message))
        raise Failed(NumericalError.exit)


def _command() -> str:
    arguments: list[str] = click.get_current_context().find_root().obj or []
    return shlex.join(["landscape", *arguments])


command = click.Command(
    "report",
    callback=run,
    help=__doc__,
    epilog="Example: landscape report run/final.pt --model nets.py:build --data nets.py:data",
    params=[
        *subject_parameters(),
        click.Option(
            ["--preset"],
            type=click.Choice(["quick", "standard", "full"]),
            default="standard",
            show_default=True,
            help="how much to spend",
        ),
        budget_option(),
        click.Option(["--seed"], type=click.IntRange(min=0), default=0, help="seed of every draw"),
        click.Option(
            ["--crosscheck"], is_flag=True, help="ask PyHessian for its top eigenvalue too"
        ),
        click.Option(
            ["-o", "--output"],
            type=Path,
            default=Path("landscape-report"),
            show_default=True,
            metavar="DIR",
            help="where the report goes",
        ),
        click.Option(["--force"], is_flag=True, help="write over what is there"),
        click.Option(["--json", "as_json"], is_flag=True, help="print the JSON document"),
        click.Option(["--strict"], is_flag=True, help="fail when a number did not converge"),
        *verbosity_parameters(),
    ],
)
