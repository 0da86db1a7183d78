"""Spec strings, diagnostics and presets that there are."""

from __future__ import annotations

import json
import time

import click

from ..catalogue import COMMANDS, summaries
from ..documents import enveloped

KEYS = {  # of the rows of every list, in JSON
    "models": ("scheme", "example", "loads"),
    "data": ("scheme", "example", "loads"),
    "diagnostics": ("name", "answers"),
    "presets": ("preset", "diagnostic", "settings"),
}


def run(what: str, *, as_json: bool) -> None:
    """Print one list."""
    began = time.perf_counter()
    lists = {"models": _schemes, "data": _schemes, "diagnostics": _diagnostics, "presets": _presets}
    rows = lists[what](what)
    if as_json:
        listed = [dict(zip(KEYS[what], row, strict=False)) for row in rows]
        answer, said = {"what": what, "rows": listed}, "What this version knows."
        document = enveloped("list", 2, answer, said, began=began)
        click.echo(json.dumps(document, indent=1, allow_nan=False))
        return
    for row in rows:
        cells = (part.ljust(width) for part, width in zip(row, (14, 44, 0), strict=True))
        click.echo("  ".join(cells).rstrip())


def _schemes(what: str) -> list[tuple[str, str, str]]:
    from landscape.subject.spec.schemes import describe_schemes

    return describe_schemes("models" if what == "models" else "data")


def _diagnostics(what: str) -> list[tuple[str, str, str]]:
    del what
    return [(name, summaries()[name], "") for name in COMMANDS["Diagnostics"]]


def _presets(what: str) -> list[tuple[str, str, str]]:
    del what
    from landscape.diagnostics import DIAGNOSTICS

    return [
        (preset, kind.name, ", ".join(f"{k} {v}" for k, v in kind.presets[preset].items()) or "-")
        for kind in DIAGNOSTICS
        for preset in kind.presets
    ]


command = click.Command(
    "list",
    callback=run,
    help=__doc__,
    epilog="Example: landscape list data",
    params=[
        click.Argument(["what"], type=click.Choice(["models", "data", "diagnostics", "presets"])),
        click.Option(["--json", "as_json"], is_flag=True, help="print one JSON document"),
        click.Option(["--debug"], is_flag=True, expose_value=False, help="show tracebacks"),
    ],
)
