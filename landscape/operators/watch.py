"""A watch that adds up the time of what is worth timing, on a device that may run ahead."""

from __future__ import annotations

import time

import torch


class Watch:
    """Seconds and laps of the blocks that it ran in."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.seconds = 0.0
        self.laps = 0

    def running(self, *, on: bool) -> Watch:
        """Return the watch for a block, which it times or leaves alone."""
        self._on = on
        return self

    def __enter__(self) -> None:
        self._began = self._now() if self._on else 0.0

    def __exit__(self, *exception: object) -> None:
        if self._on:
            self.seconds += self._now() - self._began
            self.laps += 1

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()
