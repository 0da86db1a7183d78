"""What recording costs, measured while it runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Overhead:
    """Wall-clock time of a run, and how much of it went into recording.

    Args:
        steps: That were taken.
        seconds: Of wall-clock time, from the first step to the last.
        recording: Of them inside hooks and in writing, on the host.
        diagnostics: Of them inside scheduled diagnostics.
        device: Where the network is; on a GPU, work that hooks leave to it is not in `recording`.
    """

    steps: int
    seconds: float
    recording: float
    diagnostics: float
    device: str

    @property
    def share(self) -> float:
        """Return the part of the time without recording by which recording lengthened it."""
        rest = self.seconds - self.recording - self.diagnostics
        return self.recording / rest if rest > 0 else 0.0

    @property
    def sentence(self) -> str:
        """Return what a person is told at the end."""
        host = "" if self.device == "cpu" else " on the host"
        text = (
            f"{self.steps:,} steps in {self.seconds:.1f} s; recording took {self.recording:.2f} s"
            f"{host}, {self.share:.1%} on top of the rest"
        )
        if self.diagnostics:
            whole = self.diagnostics / self.seconds if self.seconds else 0.0
            text += f"; diagnostics took {self.diagnostics:.1f} s, {whole:.1%} of the time"
        return text


class Meter:
    """Adds up the time spent inside hooks and inside diagnostics."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._recording = 0.0
        self._diagnostics = 0.0
        self._before = 0.0  # of recording, ahead of the first step
        self._first: float | None = None
        self._last = 0.0
        self._steps = 0

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Count the time of a block as recording."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._recording += time.perf_counter() - started

    @contextmanager
    def diagnosing(self) -> Iterator[None]:
        """Count the time of a block as that of diagnostics, not of recording."""
        started = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - started
            self._diagnostics += spent
            self._recording -= spent

    def step(self) -> None:
        """Note that a step was taken; the first only starts the clock."""
        self._last = time.perf_counter()
        if self._first is None:
            self._first, self._before = self._last, self._recording
        else:
            self._steps += 1

    def read(self) -> Overhead:
        """Return what was measured so far."""
        return Overhead(
            steps=self._steps,
            seconds=self._last - self._first if self._first is not None else 0.0,
            recording=max(self._recording - self._before, 0.0),
            diagnostics=self._diagnostics,
            device=self._device,
        )

    @property
    def elapsed(self) -> float:
        """Return the seconds since the first step."""
        return time.perf_counter() - self._first if self._first is not None else 0.0

    @property
    def diagnostics(self) -> float:
        """Return the seconds spent inside diagnostics."""
        return self._diagnostics
