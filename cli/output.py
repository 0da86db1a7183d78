"""Answers on stdout and in files; what is written is checked before anything is computed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import click

from landscape.errors import NumericalError, OutputError

from .failures import Failed, show_error
from .terminal import LONGEST, plain

if TYPE_CHECKING:
    from rich.table import Table

    from landscape.answer import Result

SENTENCE = 60  # characters of a line in the cell of a table; a name is shortened to as many


@runtime_checkable
class Judged(Protocol):
    """An answer that is a verdict, told by an exit code too."""

    @property
    def exit_code(self) -> int:
        """Return 0 for a verdict that is good."""
        ...


def processes() -> int:
    """Return how many processes `torchrun` has started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def speaks() -> bool:
    """Return whether this process prints and writes: under `torchrun`, that of rank 0."""
    return processes() == 1 or os.environ.get("RANK") == "0"


def output_parameters() -> list[click.Parameter]:
    """Return the options that say how an answer comes out."""
    return [
        click.Option(
            ["-o", "--output"],
            type=click.Path(path_type=Path),
            metavar="DIR",
            help="write JSON and figures here",
        ),
        click.Option(["--force"], is_flag=True, help="write over what is there"),
        click.Option(["--json", "as_json"], is_flag=True, help="print one JSON document"),
        click.Option(["--strict"], is_flag=True, help="fail when a number did not converge"),
        *verbosity_parameters(),
    ]


def verbosity_parameters() -> list[click.Parameter]:
    """Return the options that say how much is told on the way."""
    return [
        click.Option(["-q", "--quiet"], is_flag=True, help="no progress and no notes"),
        click.Option(
            ["-v", "--verbose"],
            is_flag=True,
            expose_value=False,
            callback=_be_verbose,
            help="tell where settings come from, what was switched, and what it cost",
        ),
        click.Option(["--debug"], is_flag=True, help="show tracebacks"),
    ]


def verbose() -> bool:
    """Return whether the command that runs was asked to tell more."""
    return bool(click.get_current_context().meta.get("landscape.verbose"))


def _be_verbose(ctx: click.Context, option: click.Parameter, value: bool) -> None:
    del option
    ctx.meta["landscape.verbose"] = value


def check_folder(folder: Path | None, names: Iterable[str], *, force: bool) -> None:
    """Refuse a folder that cannot be written or that already holds an answer.

    Raises:
        OutputError: It is a file, is not writable, or holds one of the names.
    """
    if folder is None or not speaks():
        return
    taken = [name for name in names if (folder / name).exists()]
    if taken and not force:
        raise OutputError(
            f"{folder} already holds {', '.join(taken)}",
            where=str(folder),
            hint="pass --force to write over it, or another -o DIR",
        )
    nearest = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise OutputError(
            f"{folder} cannot be written",
            where=str(nearest),
            why="it is a file" if nearest.is_file() else "permission denied",
            hint="choose another folder with -o",
        )


def check_file(path: Path, *, force: bool) -> None:
    """Refuse a file that is there already or whose folder cannot be written.

    Raises:
        OutputError: It is there, or cannot be made.
    """
    if path.is_dir():
        raise OutputError(
            f"{path} is a folder", where=str(path), hint="give the name of a file in it"
        )
    check_folder(path.parent, [path.name], force=force)


def deliver(result: Result, *, output: Path | None, as_json: bool, strict: bool) -> None:
    """Print an answer, write its files, and fail where its status asks for it."""
    from landscape.encode import to_text
    from landscape.estimate import Status

    if output is not None and speaks():
        _write(result, output)
    if as_json:
        click.echo(to_text(result.to_json()), nl=False)
    else:
        show(result)
    if isinstance(result, Judged) and result.exit_code:
        raise Failed(result.exit_code)
    if result.status is Status.NOT_FINITE:
        raise Failed(NumericalError.exit)
    if strict and not result.status.settled:
        show_error(unsettled(result.name, result.message))
        raise Failed(NumericalError.exit)


def _write(result: Result, output: Path) -> None:
    """Write figures and document, or nothing, so that the same command can be run again."""
    from landscape.encode import to_text, write_atomically
    from landscape.figures.canvas import save
    from landscape.reports.series import pictures_of

    output.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    try:
        for suffix in ("png", "svg"):
            result.plot(path := output / f"{result.name}.{suffix}")
            written.append(path)
            for picture in pictures_of(result):
                save(picture.figure(), path := output / f"{result.name}-{picture.name}.{suffix}")
                written.append(path)
        write_atomically(output / f"{result.name}.json", to_text(result.to_json()))
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise


def unsettled(name: str, message: str) -> NumericalError:
    """Return what `--strict` says of a number that did not converge."""
    return NumericalError(
        f"{name} did not converge",
        where="--strict",
        why=message,
        hint="raise the setting that is named, or leave --strict",
    )


def tell_cost(result: Result) -> None:
    """Print on stderr what an answer cost, and what was switched on the way."""
    cost = result.cost
    told = f"{cost.seconds:.3g} s, {cost.products:,} products, {cost.samples:,} samples, "
    click.echo(f"cost: {told}{cost.peak_memory_bytes / 2**20:,.0f} MiB at the peak", err=True)
    for switch in result.provenance.get("switches", ()):
        click.echo(f"switch: {plain(switch)}", err=True)


def forget(output: Path) -> None:
    """Remove what earlier runs remembered in a folder."""
    if speaks():
        shutil.rmtree(output / "cache", ignore_errors=True)


def show(result: Result) -> None:
    """Print summary, tables and findings for a person."""
    for one in result.series or (result,):
        click.echo(plain(one.summary()))
    if (data := result.provenance.get("data")) is not None:
        stamp = "SYNTHETIC " if result.provenance.get("synthetic") else ""
        stamp += "TRAIN-MODE " if result.provenance.get("mode") == "train" else ""
        click.echo(plain(f"{stamp}data: {data}, {_samples(result)} samples"))
    for table in result.tables():
        print_table(table.columns, table.rows, title=table.title)
    for finding in result.findings():
        click.echo(f"{finding.severity}: {plain(finding.sentence)}")
        click.echo(f"  {plain(finding.evidence)} {plain(finding.advice)}")
    for one in result.series or (result,):
        name = f"{one.label}: " if result.series else ""
        click.echo(plain(f"{name}{one.status.value}: {one.message}"))


def _samples(result: Result) -> str:
    """Return how many samples the data have, and how many of them were used where not all were.

    A result that tells what it was judged on has the number of these, which may be other data.
    """
    every = result.cost.samples
    used = every if hasattr(result, "judged_on") else getattr(result, "samples", every)
    return f"{used:,} of {every:,}" if used < every else f"{every:,}"


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str | None = None
) -> None:
    """Print a table as wide as it needs; text from files is shown, never interpreted.

    Sentences go on in the next line, where the terminal is narrow sooner. Nothing else does.
    """
    from rich.console import Console

    console = Console(highlight=False)
    room = console.options.update(max_width=10_000)
    wide, narrow = (
        console.measure(_drawn(columns, rows, title, sentence), options=room).maximum
        for sentence in (SENTENCE, SENTENCE // 2)
    )
    width = min(wide, max(console.width, narrow)) if console.is_terminal else wide
    Console(highlight=False, width=max(width, 1)).print(_drawn(columns, rows, title, SENTENCE))


def _drawn(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str | None, sentence: int
) -> Table:
    """Return a table in which the lines of sentences have at most so many characters."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    titled = Text(plain(title)) if title else None
    drawn = Table(title=titled, box=SIMPLE_HEAD, title_justify="left", title_style="bold")
    for i, name in enumerate(columns):
        text = any(isinstance(row[i], str) for row in rows)
        wraps = any(_is_sentence(row[i]) for row in rows)
        drawn.add_column(
            Text(plain(name)),
            justify="left" if text else "right",
            no_wrap=not wraps,
            overflow="fold",
            max_width=sentence if wraps else None,
        )
    for row in rows:
        drawn.add_row(*(Text(cell_text(cell)) for cell in row))
    return drawn


def _is_sentence(cell: Any) -> bool:
    return isinstance(cell, str) and len(cell) > SENTENCE // 2 and " " in cell


def cell_text(cell: Any) -> str:
    """Return a cell for a person: short numbers, estimates with their doubt, nothing for None."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    if isinstance(cell, float):
        return f"{cell:.3g}"
    return plain(cell, longest=LONGEST if _is_sentence(cell) else SENTENCE)
