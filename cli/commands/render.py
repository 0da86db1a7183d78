"""HTML again from the JSON of a report."""

from __future__ import annotations

from pathlib import Path

import click

from ..documents import read_document
from ..output import check_file


def run(document: Path, output: Path, *, force: bool) -> None:
    """Render the report; the HTML is a function of the JSON alone."""
    from landscape.reports.html import render_html
    from landscape.reports.report import Report

    from landscape.encode import write_atomically

    check_file(output, force=force)
    report = Report.from_json(read_document(document))
    write_atomically(output, render_html(report.to_json()))
    click.echo(f"report: {output}")


command = click.Command(
    "render",
    callback=run,
    help=__doc__,
    epilog="Example: landscape render report.json -o report.html",
    params=[
        click.Argument(["document"], type=Path, metavar="REPORT.json"),
        click.Option(
            ["-o", "--output"], type=Path, required=True, metavar="FILE.html", help="the page"
        ),
        click.Option(["--force"], is_flag=True, help="write over what is there"),
        click.Option(["--debug"], is_flag=True, expose_value=False, help="show tracebacks"),
    ],
)
