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
_places: ContextVar[tuple[str, ...]] = ContextVar("landscape_progress_places", default=())


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
    told = ": ".join(part for part in (", ".join(_places.get()), name) if part)
    if listener is not None:
        listener.begin(told, total)
    try:
        yield Task(told)
    finally:
        if listener is not None:
            listener.end(told)


@contextmanager
def within(place: str, number: int = 1, count: int = 1) -> Iterator[None]:
    """Put the name of a place, one of `count`, before every task inside a block."""
    told = f"{place} ({number} of {count})" if count > 1 else place
    token = _places.set((*_places.get(), told))
    try:
        yield
    finally:
        _places.reset(token)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Show the progress of everything inside a block to a listener."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
