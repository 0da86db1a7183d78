"""What a computation costs: operator products and memory, counted where they are spent."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

from landscape import budget


class Meter:
    """Counts operator products and watches memory for the length of a block."""

    def __init__(self, device: torch.device) -> None:
        self.products = 0
        self.device = device

    def peak_memory_bytes(self) -> int:
        """Return the peak: of the device on CUDA, of the process elsewhere."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


_meter: ContextVar[Meter | None] = ContextVar("landscape_meter", default=None)


@contextmanager
def measuring(device: torch.device) -> Iterator[Meter]:
    """Measure everything inside a block."""
    meter = Meter(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    token = _meter.set(meter)
    try:
        yield meter
    finally:
        _meter.reset(token)


def count_products(number: int) -> None:
    """Say that some operator products were computed."""
    budget.charge(number)
    if (meter := _meter.get()) is not None:
        meter.products += number
