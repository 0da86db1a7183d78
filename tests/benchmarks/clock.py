"""Seconds and peak memory of what runs between two marks."""

from __future__ import annotations

import ctypes
import gc
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

MOST = 200  # calls of one kind in a turn
_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def seconds_of(function: Callable[[], object], device: torch.device) -> float:
    """Return how long one call takes, until the device has finished."""
    _synchronise(device)
    started = time.perf_counter()
    function()
    _synchronise(device)
    return time.perf_counter() - started


def in_series(
    functions: Mapping[str, Callable[[], object]], *, seconds: float, device: torch.device
) -> dict[str, float]:
    """Call each function again and again for its share of the time, and return each one's median.

    Not in turn with one another: what a block gives back to the system would be missing to the
    gradient after it. The first call, which finds what the function before has left, is not timed.
    """
    return {
        name: _median(function, seconds / len(functions), device)
        for name, function in functions.items()
    }


def _median(function: Callable[[], object], seconds: float, device: torch.device) -> float:
    function()
    taken: list[float] = []
    until = time.perf_counter() + seconds
    while len(taken) < MOST:
        taken.append(seconds_of(function, device))
        if time.perf_counter() > until:
            break
    return statistics.median(taken)


class Peak:
    """The most memory used since a mark: resident on the CPU, allocated on CUDA."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.base = 0

    def mark(self) -> None:
        """Count from what is in use now."""
        self.forget()
        self.base = self._now("VmRSS")

    def forget(self) -> None:
        """Give free memory back to the system and forget the peak, but not the mark."""
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            _trim()
            if _RESET.exists():
                _RESET.write_text("5")

    def mebibytes(self) -> float | None:
        """Return the peak above the mark; None where the system does not tell."""
        peak = self._now("VmHWM")
        return (peak - self.base) / 2**20 if peak else None

    def _now(self, field: str) -> int:
        if self.device.type == "cuda":
            if field == "VmRSS":
                return torch.cuda.memory_allocated(self.device)
            return torch.cuda.max_memory_allocated(self.device)
        if not _STATUS.exists() or not _RESET.exists():
            return 0
        lines = _STATUS.read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))


def _trim() -> None:
    """Hand freed memory back, so that it does not hide what is allocated next (glibc)."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):
        return


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
