"""Progress on stderr: a bar with its ETA on a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING

import click

from landscape.progress import listening

from .interruption import heed
from .terminal import plain

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PATIENCE = 1.0  # seconds before a task is shown
INTERVAL = 10.0  # seconds between plain lines


@contextmanager
def shown(*, quiet: bool) -> Iterator[None]:
    """Show the progress of everything inside a block, unless quiet; heed signals at its steps.

    What the user's code prints there goes to stderr: stdout is for answers.
    """
    if quiet:
        with listening(_Nothing()), redirect_stdout(sys.stderr):
            yield
    elif sys.stderr.isatty():
        with _bars() as bars, listening(bars), redirect_stdout(sys.stderr):
            yield
    else:
        with listening(_Lines()), redirect_stdout(sys.stderr):
            yield


class _Nothing:
    """Shows nothing."""

    def begin(self, task: str, total: int | None) -> None:
        heed()

    def advance(self, task: str, steps: int) -> None:
        heed()

    def end(self, task: str) -> None:
        pass


class _Lines:
    """One plain line per interval and task."""

    def __init__(self) -> None:
        self._tasks: dict[str, tuple[float, int, int | None]] = {}
        self._told = time.monotonic()

    def begin(self, task: str, total: int | None) -> None:
        heed()
        self._tasks[task] = (time.monotonic(), 0, total)

    def advance(self, task: str, steps: int) -> None:
        heed()
        started, done, total = self._tasks[task]
        self._tasks[task] = (started, done + steps, total)
        now = time.monotonic()
        if now - self._told >= INTERVAL:
            self._told = now
            click.echo(_line(task, done + steps, total, now - started), err=True)

    def end(self, task: str) -> None:
        self._tasks.pop(task, None)


def _line(task: str, done: int, total: int | None, elapsed: float) -> str:
    task = plain(task)
    if not total:
        return f"{task}: {done} steps, {elapsed:.0f} s"
    left = elapsed / max(done, 1) * (total - done)
    return f"{task}: {done}/{total}, {elapsed:.0f} s, about {left:.0f} s left"


@contextmanager
def _bars() -> Iterator[_Bars]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),  # names come from files
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield _Bars(progress)


class _Bars:
    """Bars that appear once a task has taken a second."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._ids: dict[str, TaskID] = {}
        self._started: dict[str, float] = {}

    def begin(self, task: str, total: int | None) -> None:
        heed()
        self._ids[task] = self._progress.add_task(plain(task), total=total, visible=False)
        self._started[task] = time.monotonic()

    def advance(self, task: str, steps: int) -> None:
        heed()
        visible = time.monotonic() - self._started[task] > PATIENCE
        self._progress.update(self._ids[task], advance=steps, visible=visible)

    def end(self, task: str) -> None:
        self._progress.remove_task(self._ids.pop(task))
