"""Progress without printing: numerics report steps, whoever listens shows them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol


class Listener(Protocol):
    """Whoever shows progress."""

    def begin(self, task: str, total: int | None) -> None:
        """A task of `total` steps starts (None: unknown)."""

    def advance(self, task: str, steps: int) -> None:
        """Some steps of a task are done."""

    def end(self, task: str) -> None:
        """A task is over, finished or not."""


_listener: ContextVar[Listener | None] = ContextVar("landscape_progress", default=None)


class Task:
    """A piece of work under way."""

    def __init__(self, name: str) -> None:
        self.name = name

    def advance(self, steps: int = 1) -> None:
        """Report that some steps are done."""
        if (listener := _listener.get()) is not None:
            listener.advance(self.name, steps)


@contextmanager
def task(name: str, total: int | None = None) -> Iterator[Task]:
    """Announce a piece of work for the length of a block."""
    listener = _listener.get()
    if listener is not None:
        listener.begin(name, total)
    try:
        yield Task(name)
    finally:
        if listener is not None:
            listener.end(name)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Show the progress of everything inside a block to a listener."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
