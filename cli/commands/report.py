"""Every section that the inputs allow, bound into HTML, JSON and Markdown."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from landscape.budget import Budget, spending, spent
from landscape.errors import NumericalError

from ..attach import attach, subject_parameters, tell_notes
from ..configured import Configured, settled
from ..dry_run import dry_run_option, tell_taken
from ..failures import Failed, show_error
from ..interruption import keeping
from ..options import budget_option, path_or, preset_option, tell_spent
from ..output import (
    check_folder,
    forget,
    speaks,
    tell,
    unsettled,
    verbose,
    verbosity_parameters,
)
from ..progress import shown
from ..tables import print_table
from ..terminal import plain

if TYPE_CHECKING:
    from landscape.reports.report import Report
    from landscape.subject.subject import Subject
    from landscape.survey import Plan
    from landscape.work import Pace

FILES = ("report.html", "report.json", "report.md")


def run(**values: Any) -> None:
    """Write the report and print where it is and what it found."""
    from landscape.reports.folder import recover
    from landscape.survey import survey

    output: Path = values.pop("output")
    force, quiet, as_json = values.pop("force"), values.pop("quiet"), values.pop("as_json")
    strict, dry = values.pop("strict"), values.pop("dry_run")
    budget: Budget | None = values.pop("budget")
    asked: dict[str, Any] = {
        "seed": values["seed"],
        "preset": values.pop("preset"),
        "train": values.pop("train") or "",
        "settings": _settings(crosscheck=values.pop("crosscheck")),
    }
    if dry:
        _plan(values, asked, budget, as_json=as_json)
        tell_taken(output, FILES if not force else ())
        return
    with keeping(output / "cache"), shown(quiet=quiet):
        with spending(budget):
            subject = attach(values, folder=output / "cache")
            if speaks() and output.is_dir():
                recover(output)
            check_folder(output, FILES, force=force)
            if force:
                forget(output)
            told = None if quiet else (lambda plan: _tell(plan, subject, budget))
            report = survey(subject, tell=told, **asked)
            late = spent() or report.status.value == "budget_spent"
        report = _stamped(report, budget)
        if speaks():
            report.save(output, force=True)
    if not quiet:
        if budget is not None and late:
            tell_spent(budget, report.cost)
        tell_notes(report.provenance)
    _deliver(report, output, as_json=as_json, strict=strict)


def _settings(*, crosscheck: bool) -> dict[str, dict[str, Any]]:
    """Return what the configuration files say of the sections, and what the options do."""
    from landscape.diagnostics import DIAGNOSTICS

    options = {one.name: one.options() for one in DIAGNOSTICS}
    given: dict[str, dict[str, Any]] = {
        name: {key: value for key, value in found.items() if key in options[name]}
        for name, found in settled().sections().items()
        if name in options
    }
    if crosscheck:
        given["spectrum"] = {**given.get("spectrum", {}), "crosscheck": True}
    return given


def _stamped(report: Report, budget: Budget | None) -> Report:
    """Return the report with the command, its configuration and the budget."""
    settings = {**report.settings, **({"budget": str(budget)} if budget is not None else {})}
    provenance = {**report.provenance, **settled().provenance()}
    return replace(report, settings=settings, provenance=provenance)


def _deliver(report: Report, output: Path, *, as_json: bool, strict: bool) -> None:
    """Print the answer.

    Raises:
        Failed: A section failed, or a number did not converge where that was asked for.
    """
    from landscape.encode import to_text

    if as_json:
        click.echo(to_text(report.to_json()), nl=False)
    else:
        tell(report.summary())
        click.echo(f"report: {output / 'report.html'}")
    if report.exit_code:
        raise Failed(report.exit_code)
    if strict and not report.status.settled:
        show_error(unsettled("report", report.message))
        raise Failed(NumericalError.exit)


def _plan(
    values: dict[str, Any], asked: Mapping[str, Any], budget: Budget | None, *, as_json: bool
) -> None:
    """Print what would be asked, for which share of the budget, at which expected cost."""
    from landscape.survey import check_weights, examined, plan_of

    with spending(budget), redirect_stdout(sys.stderr):  # what the user's code prints is no plan
        given = examined(attach(values), asked["train"])
        check_weights(given.subject)
        if given.not_finite is not None:
            raise given.not_finite
        plan = plan_of(given.subject, **asked)
        foretold = plan.foretold(_pace(given.subject))
    rows = [(*row, foretold.seconds.get(row[0])) for row in plan.told(budget)]
    if as_json:
        keys = ("section", "budget", "expected", "seconds")
        told = {
            "schema": "landscape/dry-run/1",
            "question": "report",
            "sections": [dict(zip(keys, row, strict=True)) for row in rows],
            "figures": foretold.figures,
            "drawing_seconds": foretold.drawing,
        }
        click.echo(json.dumps(told, indent=1, allow_nan=False))
    else:
        print_table(("section", "share of the budget", "expected cost", "about s"), rows)
        click.echo(f"time: {foretold.sentence(budget)}")
        click.echo("dry run: nothing was computed or written, but a few passes timed")
    refused = [one.refused for one in plan.asked if one.refused is not None]
    if refused:
        raise Failed(refused[0].exit)


def _pace(subject: Subject) -> Pace | None:
    """Return how fast passes are, by a short trial; None where there are none."""
    from landscape.operators.pace import pace_of

    try:
        known = subject.model is not None and subject.batches is not None
        return pace_of(subject) if known else None
    except Exception:  # the network's own code may fail in any way; the sections say how
        return None


def _tell(plan: Plan, subject: Subject, budget: Budget | None) -> None:
    """Print on stderr how long it will take, and where wanted the plan."""
    pace = _pace(subject) if budget is None else None
    click.echo(f"time: {plan.foretold(pace).sentence(budget)}", err=True)
    if verbose():
        for name, share, expected in plan.told(budget):
            click.echo(f"plan: {name}: {plain(expected)} ({share})", err=True)


command = Configured(
    "report",
    callback=run,
    help=__doc__,
    epilog="Example: landscape report run/final.pt --model nets.py:build --data nets.py:data",
    params=[
        *subject_parameters(),
        click.Option(
            ["--train"],
            metavar="SPEC",
            shell_complete=path_or("plain"),
            help="function that trains, nets.py:train, or plain: it unlocks lottery tickets",
        ),
        preset_option(),
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
        dry_run_option(),
        *verbosity_parameters(),
    ],
)
