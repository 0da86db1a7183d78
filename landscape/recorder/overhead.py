"""What recording costs, measured while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from landscape.recorder.verdict import counted


@dataclass(frozen=True, kw_only=True)
class Overhead:
    """Wall-clock time of a run, and how much of it went into recording.

    Args:
        steps: That were taken.
        seconds: Of wall-clock time, from the end of the first step to that of the last.
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
            f"{counted(self.steps, 'step')}, {self.seconds:.1f} s from the first to the last; "
            f"recording took {self.recording:.2f} s{host}, {self.share:.1%} on top of the rest"
        )
        if self.diagnostics:
            whole = self.diagnostics / self.seconds if self.seconds else 1.0
            text += f"; diagnostics took {self.diagnostics:.1f} s, {whole:.1%} of the time"
        return text


class Meter:
    """Adds up the time spent inside hooks and inside diagnostics.

    Args:
        device: Where the network is.
        clock: Tells the seconds.
    """

    def __init__(self, device: str, clock: Callable[[], float] = time.perf_counter) -> None:
        self._device = device
        self._clock = clock
        self._recording = 0.0
        self._diagnostics = 0.0
        self._before = 0.0  # of recording, ahead of the first step
        self._first: float | None = None
        self._last = 0.0
        self._steps = 0

    def recording(self) -> _Span:
        """Count the time of a block as recording."""
        return _Span(self._clock, self._recorded)

    def diagnosing(self) -> _Span:
        """Count the time of a block as that of diagnostics, not of recording."""
        return _Span(self._clock, self._diagnosed)

    def step(self) -> None:
        """Note that a step was taken; the first starts the clock."""
        self._last = self._clock()
        self._steps += 1
        if self._first is None:
            self._first, self._before = self._last, self._recording

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
        return self._clock() - self._first if self._first is not None else 0.0

    @property
    def diagnostics(self) -> float:
        """Return the seconds spent inside diagnostics."""
        return self._diagnostics

    def _recorded(self, seconds: float) -> None:
        self._recording += seconds

    def _diagnosed(self, seconds: float) -> None:
        self._diagnostics += seconds
        self._recording -= seconds  # a diagnostic runs inside a hook
        self._last = self._clock()  # the last step lasts until its diagnostics are over


class _Span:
    """Tells how long a block took; a class, since it is entered many times a step."""

    __slots__ = ("_clock", "_count", "_started")

    def __init__(self, clock: Callable[[], float], count: Callable[[float], None]) -> None:
        self._clock = clock
        self._count = count

    def __enter__(self) -> None:
        self._started = self._clock()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._count(self._clock() - self._started)
