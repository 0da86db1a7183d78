"""The preflight: what works, what does not, and what the real thing will cost."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from landscape.budget import spending
from landscape.errors import NumericalError

from ..attach import described, subject_parameters, tell_notes
from ..configured import Configured, settled
from ..failures import Failed
from ..options import budget_option, preset_option
from ..output import check_folder, verbosity_parameters, written_parameters
from ..progress import shown
from ..tables import print_table
from ..terminal import plain

if TYPE_CHECKING:
    from landscape.doctor import Check, Doctor

FILES = ("doctor.json",)
COLOURS = {"ok": "green", "warn": "yellow", "fail": "bold red", "skipped": "dim"}


def run(**values: Any) -> None:
    """Examine, print what was found, and end with the code of the first failure."""
    from landscape.doctor import preflight
    from landscape.encode import to_text, write_atomically

    quiet, as_json, _ = values.pop("quiet"), values.pop("as_json"), values.pop("debug")
    budget, strict = values.pop("budget"), values.pop("strict")
    output, force = values.pop("output"), values.pop("force")
    preset = values.pop("preset")
    check_folder(output, FILES, force=force)
    with shown(quiet=quiet), spending(budget):
        found = preflight(**described(values), preset=preset)
    if not quiet and found.provenance:
        tell_notes(found.provenance)
    found = replace(found, provenance={**found.provenance, **settled().provenance()})
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        write_atomically(output / FILES[0], to_text(found.to_json()))
    if as_json:
        click.echo(to_text(found.to_json()), nl=False)
    else:
        _show(found)
    if found.exit_code:
        raise Failed(found.exit_code)
    warned = [check for check in found.checks if check.status.value == "warn"]
    if strict and warned:
        raise NumericalError(
            f"{warned[0].name}: {warned[0].found}",
            where="--strict",
            why=warned[0].why,
            hint=warned[0].next,
        )


def _show(found: Doctor) -> None:
    """Print the checks, the ways and the plans."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=SIMPLE_HEAD)
    for name in ("check", "", "found"):
        drawn.add_column(name, no_wrap=name != "found", overflow="fold")
    for check in found.checks:
        status = Text(check.status.value, style=COLOURS[check.status.value])
        drawn.add_row(check.name, status, Text(_told(check)))
    Console(highlight=False).print(drawn)
    if found.ways:
        rows = [
            (one.name, one.seconds, one.block_seconds, one.agreement, one.missing)
            for one in found.ways
        ]
        columns = ("way", "s a product", "s each in a block", "differs by", "why not")
        print_table(columns, rows, title="Products")
    if found.time:
        rows = [
            (one.preset, one.pairs, one.density, one.trace, one.seconds, one.at_least, one.at_most)
            for one in found.time
        ]
        columns = ("preset", "pairs", "density", "trace", "about s", "from s", "to s")
        print_table(columns, rows, title="Spectrum, in products (an estimate)")
    if found.report:
        sizes = [one.bytes and f"{one.bytes / 2**20:,.0f}" for one in found.report]
        rows = [
            (one.section, one.expected, one.seconds, size)
            for one, size in zip(found.report, sizes, strict=True)
        ]
        columns = ("section", "expected cost", "about s", "about MiB")
        print_table(columns, rows, title=f"Report, preset {found.preset} (an estimate)")
    click.echo(f"{found.status.value}: {plain(found.message)}")


def _told(check: Check) -> str:
    lines = [check.found]
    if check.why:
        lines.append(f"why: {check.why}")
    if check.next:
        lines.append(f"next: {check.next}")
    return "\n".join(plain(line, lines=True) for line in lines)


command = Configured(
    "doctor",
    callback=run,
    help=__doc__,
    epilog="Example: landscape doctor run/final.pt --model nets.py:build --data nets.py:data",
    params=[
        *subject_parameters(),
        preset_option(),
        budget_option(),
        click.Option(
            ["--seed"], type=click.IntRange(min=0), default=0, help="seed of the report planned"
        ),
        *written_parameters("doctor.json"),
        click.Option(["--strict"], is_flag=True, help="fail when a check warns"),
        *verbosity_parameters(),
    ],
)
