"""Gates for continuous integration: a document held against rules, with exit code and JUnit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..documents import guarded, made_by, read_document
from ..failures import Failed
from ..output import check_file
from ..tables import print_table
from ..terminal import plain

if TYPE_CHECKING:
    from landscape.comparison.gate import Gate


def run(document: Path, rules: Path, junit: Path | None, *, force: bool, as_json: bool) -> None:
    """Hold the document against the rules, print the outcome, and end with its code."""
    from landscape.comparison.gate import gate
    from landscape.comparison.junit import to_junit
    from landscape.comparison.rules import read_rules
    from landscape.encode import to_text, write_atomically

    asked, asked_sha256 = read_rules(rules)
    if junit is not None:
        check_file(junit, force=force, makes_folder=True)
    held = read_document(document)
    with guarded({document: held}):
        found = gate(held.content, asked, source=str(document), written=str(rules))
    files = made_by({document: held.sha256, rules: asked_sha256})
    by = {**files, **found.provenance["checked_by"]}
    found = replace(found, provenance={**found.provenance, "checked_by": by})
    if junit is not None:
        junit.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(junit, to_junit(found))
    if as_json:
        click.echo(to_text(found.to_json()), nl=False)
    else:
        _show(found)
    if found.exit_code:
        raise Failed(found.exit_code)


def _show(found: Gate) -> None:
    rows = [(one.outcome.value, one.place, one.rule, one.found, one.reason) for one in found.checks]
    print_table(("", "place", "rule", "found", "why"), rows)
    click.echo(plain(f"{found.outcome.value}: {found.message}"))


command = click.Command(
    "check",
    callback=run,
    help=f"""{__doc__}

    A rule in the TOML file: "spectrum.eigenvalues.top[0]" = {{max = 50}}; further conditions are
    min, equals, status = "converged" and verdict = "connected". A number passes when its whole
    interval does; when the interval only touches the bound, or it did not converge, it is
    undecided. Exit code 1: a rule failed; 7: none failed, one is undecided.""",
    epilog="Example: landscape check report/report.json --rules rules.toml --junit rules.xml",
    params=[
        click.Argument(["document"], type=Path, metavar="ANSWER.json"),
        click.Option(
            ["--rules"], type=Path, required=True, metavar="FILE", help="the rules, as TOML"
        ),
        click.Option(["--junit"], type=Path, metavar="FILE", help="write JUnit XML here"),
        click.Option(["--force"], is_flag=True, help="write over what is there"),
        click.Option(["--json", "as_json"], is_flag=True, help="print one JSON document"),
        click.Option(["--debug"], is_flag=True, expose_value=False, help="show tracebacks"),
    ],
)
