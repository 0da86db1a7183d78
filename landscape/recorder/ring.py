"""Numbers on the device, handed to the host without waiting for the device."""

from __future__ import annotations

from collections import deque
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

Told = TypeVar("Told")

ROWS = 32  # that travel together


class Parcels(Generic[Told]):
    """Tensors on their way to the host, in order.

    From a GPU they are copied into pinned memory on the current stream, and an event tells when
    they are there; nothing waits, unless `rest` is asked for.
    """

    def __init__(self) -> None:
        self._sent: deque[tuple[Told, Tensor, Any]] = deque()

    def send(self, numbers: Tensor, told: Told) -> None:
        """Start the copy of a tensor, and keep what the host knows about it."""
        if numbers.device.type != "cuda":
            self._sent.append((told, numbers.to("cpu", copy=True), None))
            return
        host = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=True)
        host.copy_(numbers, non_blocking=True)
        arrival = torch.cuda.Event()
        arrival.record(torch.cuda.current_stream(numbers.device))
        self._sent.append((told, host, arrival))

    def arrived(self) -> list[tuple[Told, list[Any]]]:
        """Return what has reached the host, each once."""
        found: list[tuple[Told, list[Any]]] = []
        while self._sent and (self._sent[0][2] is None or self._sent[0][2].query()):
            told, host, _ = self._sent.popleft()
            found.append((told, host.tolist()))
        return found

    def rest(self) -> list[tuple[Told, list[Any]]]:
        """Return everything that is left, waiting for it."""
        for _, _, arrival in self._sent:
            if arrival is not None:
                arrival.synchronize()
        return self.arrived()


class Ring(Generic[Told]):
    """Rows of one width, kept on the device and sent off together.

    The buffer is filled anew while its copy travels: work on one stream is done in order.

    Args:
        width: Numbers in a row.
        dtype: Of the numbers.
        device: Where the rows are written.
        rows: That travel together.
    """

    def __init__(
        self, width: int, dtype: torch.dtype, device: torch.device, rows: int = ROWS
    ) -> None:
        self._rows = torch.empty(rows, width, dtype=dtype, device=device)
        self._told: list[Told] = []
        self._parcels: Parcels[list[Told]] = Parcels()

    def put(self, row: Tensor, told: Told) -> None:
        """Add a row (width,) and what the host knows about it."""
        self._rows[len(self._told)].copy_(row, non_blocking=True)
        self._told.append(told)
        if len(self._told) == len(self._rows):
            self.send()

    def send(self) -> None:
        """Send off what was put, also when the buffer is not full."""
        if self._told:
            self._parcels.send(self._rows[: len(self._told)], self._told)
            self._told = []

    def arrived(self) -> list[tuple[Told, list[float]]]:
        """Return the rows that have reached the host, in order, each once."""
        return _rows(self._parcels.arrived())

    def rest(self) -> list[tuple[Told, list[float]]]:
        """Return every row that is left, waiting for it."""
        self.send()
        return _rows(self._parcels.rest())


def _rows(parcels: list[tuple[list[Told], list[Any]]]) -> list[tuple[Told, list[float]]]:
    return [pair for told, rows in parcels for pair in zip(told, rows, strict=True)]
