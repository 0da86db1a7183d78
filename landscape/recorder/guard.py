"""What goes wrong in a hook stays there: the run goes on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any


class Guard:
    """Keeps errors of the recorder away from the training loop.

    An error costs the details of its step; it is told once, and recorded once a step.
    KeyboardInterrupt and its like pass.

    Args:
        step: Returns the number of the step.
        drop: Lets the details of the step go.
    """

    def __init__(self, step: Callable[[], int], drop: Callable[[], None]) -> None:
        self._step = step
        self._drop = drop
        self._last: int | None = None  # step that was recorded
        self._told = False
        self._found: list[dict[str, Any]] = []

    def inside(self, place: str) -> _Inside:
        """Run a block; an error in it ends the block, and nothing else."""
        return _Inside(self, place)

    def taken(self) -> list[dict[str, Any]]:
        """Return the records of what failed since the last time."""
        found, self._found = self._found, []
        return found

    def failed(self, place: str, error: str) -> None:
        """Note an error, and tell the first."""
        step = self._step()
        if step != self._last:
            self._last = step
            self._found.append({"kind": "failed", "step": step, "where": place, "error": error})
        if not self._told:
            self._told = True
            line = error.splitlines()[0][:200]
            sys.stderr.write(
                f"landscape: recording failed at step {step}, in {place}: {line}; "
                "the run goes on, without the details of this step\n"
            )
        self._drop()


class _Inside:
    """A block whose errors stay in it; a class, since it is entered many times a step."""

    __slots__ = ("_guard", "_place")

    def __init__(self, guard: Guard, place: str) -> None:
        self._guard = guard
        self._place = place

    def __enter__(self) -> None:
        return

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        with suppress(Exception):
            self._guard.failed(self._place, f"{type(error).__name__}: {error}")
        return True
