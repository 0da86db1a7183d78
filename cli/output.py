"""Answers on stdout and in files; what is written is checked before anything is computed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import click

from landscape.errors import NumericalError, OutputError

from .failures import Failed, show_error
from .tables import print_table
from .terminal import plain, whole

if TYPE_CHECKING:
    from landscape.answer import Result


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
        *written_parameters(),
        click.Option(["--strict"], is_flag=True, help="fail when a number did not converge"),
        *verbosity_parameters(),
    ]


def written_parameters(what: str = "JSON and figures") -> list[click.Parameter]:
    """Return the options that say where an answer is written, and whether stdout has its JSON."""
    return [
        click.Option(
            ["-o", "--output"],
            type=click.Path(path_type=Path),
            metavar="DIR",
            help=f"write {what} here",
        ),
        click.Option(["--force"], is_flag=True, help="write over what is there"),
        click.Option(["--json", "as_json"], is_flag=True, help="print one JSON document"),
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
    if not force and (there := taken(folder, names)):
        raise OutputError(
            f"{folder} already holds {', '.join(there)}",
            where=str(folder),
            why="answers are not written over unasked",
            hint="pass --force to write over it, or another -o DIR",
        )
    check_open(folder)


def check_open(folder: Path, *, tried: bool = True) -> None:
    """Refuse a folder that cannot be made or written.

    Args:
        folder: It need not be there.
        tried: Whether to try with a folder in the nearest one that is there, which is removed.

    Raises:
        OutputError: It is a file, or not writable.
    """
    nearest = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if (why := _closed(nearest, tried=tried)) is not None:
        raise OutputError(
            f"{folder} cannot be written",
            where=str(nearest),
            why=why,
            hint="choose another folder with -o",
        )


def taken(folder: Path, names: Iterable[str]) -> list[str]:
    """Return the names of an answer that a folder already holds."""
    return [name for name in names if (folder / name).exists()]


def _closed(folder: Path, *, tried: bool) -> str | None:
    """Return why nothing can be written into a folder; None where it can."""
    if not folder.is_dir():
        return "it is a file"
    if not os.access(folder, os.W_OK):
        return "permission denied"
    if not tried:
        return None
    try:
        with TemporaryDirectory(prefix=".landscape-", dir=folder):
            return None
    except OSError as error:  # some places refuse whatever their permissions say: /proc
        return error.strerror or str(error)


def check_file(path: Path, *, force: bool, makes_folder: bool = False) -> None:
    """Refuse a file that is there already or whose folder cannot be written.

    Args:
        path: The file.
        force: Whether it may be written over.
        makes_folder: Whether its folder is made where there is none.

    Raises:
        OutputError: It is there, or cannot be made.
    """
    if path.is_dir():
        raise OutputError(
            f"{path} is a folder",
            where=str(path),
            why="one file is written, and a folder has that name",
            hint="give the name of a file in it",
        )
    if not makes_folder and not path.parent.exists():
        raise OutputError(
            f"{path} cannot be written",
            where=str(path.parent),
            why="there is no such folder",
            hint=f"make it: mkdir -p {path.parent}; or choose another place with -o",
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


def tell(text: object) -> None:
    """Print lines for a person: whole, and wrapped where a terminal shows them."""
    click.echo(whole(text, width=terminal_width()))


def terminal_width() -> int | None:
    """Return the columns of the terminal that shows stdout; None: it goes elsewhere."""
    from rich.console import Console

    console = Console()
    return console.width if console.is_terminal else None


def show(result: Result) -> None:
    """Print summary, tables and findings for a person."""
    for one in result.series or (result,):
        tell(one.summary())
    if (data := result.provenance.get("data")) is not None:
        stamp = "SYNTHETIC " if result.provenance.get("synthetic") else ""
        stamp += "TRAIN-MODE " if result.provenance.get("mode") == "train" else ""
        tell(f"{stamp}data: {data}, {_samples(result)} samples")
    for table in result.tables():
        print_table(table.columns, table.rows, title=table.title)
    for finding in result.findings():
        tell(f"{finding.severity}: {finding.sentence}")
        tell(f"  {finding.evidence} {finding.advice}")
    for one in result.series or (result,):
        name = f"{one.label}: " if result.series else ""
        tell(f"{name}{one.status.words}: {one.message or one.status.sentence}")


def _samples(result: Result) -> str:
    """Return how many samples the data have, and how many of them were used where not all were.

    A result that tells what it was judged on has the number of these, which may be other data.
    """
    every = result.cost.samples
    used = every if hasattr(result, "judged_on") else getattr(result, "samples", every)
    return f"{used:,} of {every:,}" if used < every else f"{every:,}"
