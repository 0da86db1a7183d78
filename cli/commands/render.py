"""HTML again from the JSON of a report or of an answer."""

from __future__ import annotations

from pathlib import Path

import click

from landscape.errors import OutputError

from ..documents import read_answer
from ..output import check_file


def run(document: Path, output: Path, *, force: bool) -> None:
    """Render a report, or one answer; the HTML is a function of the JSON alone."""
    from landscape.encode import write_atomically
    from landscape.reports.html import render_html
    from landscape.reports.report import report_of

    if output.suffix.lower() not in (".html", ".htm"):
        raise OutputError(
            f"{output} is not called .html",
            where="-o",
            why="the name of a file tells what is in it",
            hint="render writes a page: -o report.html",
        )
    check_file(output, force=force)
    page = read_answer(document, lambda found: render_html(report_of(found).to_json()))
    write_atomically(output, page)
    click.echo(f"report: {output}")


command = click.Command(
    "render",
    callback=run,
    help=__doc__,
    epilog="Example: landscape render report.json -o report.html",
    params=[
        click.Argument(["document"], type=click.Path(path_type=Path), metavar="REPORT.json"),
        click.Option(
            ["-o", "--output"],
            type=click.Path(path_type=Path),
            required=True,
            metavar="FILE.html",
            help="the page",
        ),
        click.Option(["--force"], is_flag=True, help="write over what is there"),
        click.Option(["--debug"], is_flag=True, expose_value=False, help="show tracebacks"),
    ],
)
