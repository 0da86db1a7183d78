"""What a command would do: everything that can be checked is checked, nothing is written."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .configured import settled
from .output import check_open, taken
from .tables import print_table
from .terminal import plain

if TYPE_CHECKING:
    from landscape.base import Diagnostic
    from landscape.subject.subject import Subject


def dry_run_option() -> click.Option:
    """Return the option that asks for the plan alone."""
    return click.Option(
        ["--dry-run"], is_flag=True, help="check all that is given, tell what would be done, stop"
    )


def plan(
    question: Diagnostic[Any],
    subject: Subject,
    *,
    output: Path | None,
    names: Sequence[str],
    force: bool,
    as_json: bool,
) -> None:
    """Read data and weights, and print what a question would be asked of, and what it would write.

    Raises:
        LandscapeError: What is given cannot be used: as the question itself would find.
    """
    with redirect_stdout(sys.stderr):  # what the user's code prints is no plan
        question.check(subject)
        told = _told(question, subject, [str(output / name) for name in names] if output else [])
    tell_taken(output, () if force else names)
    if as_json:
        click.echo(json.dumps(told, indent=1, allow_nan=False))
        return
    for key in ("question", "checkpoints", "parameters", "samples", "loss", "device", "files"):
        value = told[key]
        shown = ", ".join(map(str, value)) if isinstance(value, list) else value
        click.echo(f"{key}: {plain('-' if shown in ('', None) else shown)}")
    print_table(("setting", "value", "from"), [row.cells for row in settled().asked])
    click.echo("dry run: nothing was computed or written; `landscape doctor` tells time and memory")


def tell_taken(folder: Path | None, names: Iterable[str]) -> None:
    """Say on stderr what a real run would refuse to write over without --force.

    Raises:
        OutputError: The folder cannot be written.
    """
    if folder is None:
        return
    check_open(folder, tried=False)
    if there := taken(folder, names):
        told = f"{folder} already holds {', '.join(there)}"
        click.echo(f"note: {plain(told)}: without --force, a run would stop here", err=True)


def _told(question: Diagnostic[Any], subject: Subject, files: list[str]) -> dict[str, Any]:
    from landscape.survey import check_weights

    check_weights(subject)
    found = subject.provenance()
    return {
        "schema": "landscape/dry-run/1",
        "question": question.name,
        "checkpoints": [one.label for one in subject.checkpoints],
        "parameters": subject.parameters.size if subject.model is not None else None,
        "samples": subject.batches.samples if subject.batches is not None else None,
        "loss": found["loss"],
        "device": found["device"],
        "files": files,
        "settings": [vars(row) for row in settled().asked],
    }
