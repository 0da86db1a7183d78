"""What goes wrong in a hook stays there: the run goes on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
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

    @contextmanager
    def inside(self, place: str) -> Iterator[None]:
        """Run a block; an error in it ends the block, and nothing else."""
        try:
            yield
        except Exception as error:
            with suppress(Exception):
                self._failed(place, f"{type(error).__name__}: {error}")

    def taken(self) -> list[dict[str, Any]]:
        """Return the records of what failed since the last time."""
        found, self._found = self._found, []
        return found

    def _failed(self, place: str, error: str) -> None:
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
