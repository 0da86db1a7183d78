"""Ctrl-C and SIGTERM end a command, also where Python swallows the exception that they raise."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM  # exit codes, 130 and 143
_WORDS = {INTERRUPTED: "interrupted", TERMINATED: "terminated"}

_received: list[int] = []  # signals since the command began


class Terminated(SystemExit):
    """SIGTERM has come."""

    def __init__(self) -> None:
        super().__init__(TERMINATED)


def listen() -> None:
    """Take the signals that end a command from now on; one that is ignored stays so."""
    _received.clear()
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)


def heed() -> None:
    """End the command where a signal has come, and what it raised was lost.

    Python prints and forgets what is raised inside `__del__` and callbacks of weak references.

    Raises:
        KeyboardInterrupt: Ctrl-C has come.
        Terminated: SIGTERM has come.
    """
    if _received:
        _raise(_received[-1])


def forgive() -> None:
    """Go on after a signal that was no reason to end."""
    _received.clear()


@contextmanager
def keeping(folder: Path | None) -> Iterator[None]:
    """Let a signal inside a block be told with the folder in which finished work is kept."""
    try:
        yield
        heed()
    except (KeyboardInterrupt, Terminated) as error:
        if folder is not None and folder.is_dir():
            error.add_note(f"what was finished is kept in {folder}: run the command again")
        raise


def code_of(error: BaseException) -> int | None:
    """Return the exit code of what a signal raised; None for other errors."""
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return INTERRUPTED
    return TERMINATED if isinstance(error, Terminated) else None


def told(error: BaseException) -> str:
    """Return the line that tells of a signal, and of what is kept."""
    raised = error.__cause__ if isinstance(error, click.Abort) and error.__cause__ else error
    code = code_of(error) or INTERRUPTED
    return "; ".join([_WORDS[code], *getattr(raised, "__notes__", ())])


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    del frame
    _received.append(number)
    _raise(number)


def _raise(number: int) -> NoReturn:
    if number == signal.SIGTERM:
        raise Terminated
    raise KeyboardInterrupt
