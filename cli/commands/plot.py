"""One diagnostic, several answers overlaid on one scale: initial against trained."""

from __future__ import annotations

from pathlib import Path

import click

from ..documents import read_answer
from ..output import check_file


def run(answers: tuple[Path, ...], output: Path, labels: tuple[str, ...], *, force: bool) -> None:
    """Draw the answers into one figure."""
    from landscape.diagnostics import result_of
    from landscape.errors import SettingError
    from landscape.figures.canvas import check_suffix, overlay, save

    check_file(output, force=force)
    check_suffix(output)
    found = [read_answer(path, result_of) for path in answers]
    results = [one for result in found for one in (result.series or (result,))]
    if len({type(result) for result in results}) > 1:
        raise SettingError(
            "the answers are of different diagnostics",
            where="landscape plot",
            why=", ".join(f"{p.name}: {r.name}" for p, r in zip(answers, found, strict=True)),
            hint="overlay answers of one diagnostic",
        )
    if labels and len(labels) != len(results):
        raise SettingError(
            f"{len(labels)} labels for {len(results)} answers",
            where="--label",
            why="every answer has a label of its own, or none has",
            hint="one for each",
        )
    named = labels or tuple(str(getattr(one, "checkpoint", i + 1)) for i, one in enumerate(results))
    save(overlay(results, list(named) if len(results) > 1 else [None]), output)
    click.echo(f"figure: {output}")


command = click.Command(
    "plot",
    callback=run,
    help=__doc__,
    epilog="Example: landscape plot init.json trained.json -o spectrum.pdf",
    params=[
        click.Argument(
            ["answers"],
            nargs=-1,
            required=True,
            type=click.Path(path_type=Path),
            metavar="ANSWER.json...",
        ),
        click.Option(
            ["-o", "--output"],
            type=click.Path(path_type=Path),
            required=True,
            metavar="FILE",
            help=".png, .svg or .pdf",
        ),
        click.Option(["--label", "labels"], multiple=True, help="what to call an answer, in order"),
        click.Option(["--force"], is_flag=True, help="write over what is there"),
        click.Option(["--debug"], is_flag=True, expose_value=False, help="show tracebacks"),
    ],
)
