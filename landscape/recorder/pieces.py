"""Norms of the gradients of single micro-batches, from which the gradient noise is estimated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from landscape.recorder.norms import norm
from landscape.recorder.overhead import Meter


class Pieces:
    """The gradient of every backward pass by itself, before it is added to the others.

    A hook on a leaf sees what a backward pass contributes, under data parallelism what this
    process contributes; the tensor itself is let go at once.

    Args:
        tensors: The parameters.
        dtype: That squares are summed in.
        meter: Adds up the time that the hooks take.

    Cost of a step that is seen: one pass over the gradients per backward pass.
    """

    def __init__(self, tensors: Sequence[Tensor], dtype: torch.dtype, meter: Meter) -> None:
        self._tensors = tensors
        self._dtype = dtype
        self._meter = meter
        self._handles: list[Any] = []
        self._norms: list[Tensor] = []
        self._squares: list[Tensor] = []

    def start(self) -> None:
        """Attach the hooks."""
        self._norms, self._squares = [], []
        self._handles = [tensor.register_hook(self._contribution) for tensor in self._tensors]

    def stop(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def close(self) -> None:
        """End a backward pass: what came since the last is one piece."""
        if self._norms:
            self._squares.append(torch.stack(self._norms).square().sum())
            self._norms = []

    def taken(self) -> list[Tensor]:
        """Return |g_p|² of every piece."""
        found, self._squares = self._squares, []
        return found

    def _contribution(self, gradient: Tensor) -> None:
        with self._meter.recording(), torch.no_grad():
            self._norms.append(norm(gradient, self._dtype))
