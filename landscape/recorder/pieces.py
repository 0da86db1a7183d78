"""Norms of the gradients of single micro-batches, from which the gradient noise is estimated."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any

import torch
from torch import Tensor

from landscape.recorder.guard import Guard
from landscape.recorder.inert import graph_pass
from landscape.recorder.norms import norm
from landscape.recorder.overhead import Meter

CHANGED = (
    "gradients were changed between the backward passes of a step, so these are no micro-batches"
)


class Pieces:
    """The gradient of every backward pass by itself, before it is added to the others.

    A hook on a leaf sees what a backward pass contributes, under data parallelism what this
    process contributes; the tensor itself is let go at once.

    Args:
        tensors: The parameters.
        dtype: That squares are summed in.
        meter: Adds up the time that the hooks take.
        guard: Keeps their errors away from the run.

    Cost of a step that is seen: one pass over the gradients per backward pass.
    """

    def __init__(
        self, tensors: Sequence[Tensor], dtype: torch.dtype, meter: Meter, guard: Guard
    ) -> None:
        self._tensors = tensors
        self._dtype = dtype
        self._meter = meter
        self._guard = guard
        self._handles: list[Any] = []
        self._clear()

    def start(self) -> None:
        """Attach the hooks."""
        self._clear()
        self._handles = [tensor.register_hook(self._contribution) for tensor in self._tensors]

    def stop(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def close(self, passes: Set[int]) -> None:
        """End a backward pass: what came since the last is one piece.

        Args:
            passes: That reached the parameters; `autograd.grad` does not.
        """
        found = [value for number, value in self._norms if number in passes]
        if found:
            self._squares.append(torch.stack(found).square().sum())
        if self._handles:
            self._marks = self._state()
        self._norms = []

    def taken(self) -> tuple[list[Tensor], str]:
        """Return |g_p|² of every piece, and why they tell nothing; empty when they do."""
        found, why = self._squares, CHANGED if self._changed else ""
        self._clear()
        return found, why

    def _contribution(self, gradient: Tensor) -> None:
        with self._guard.inside("a backward pass"), self._meter.recording(), torch.no_grad():
            if not self._norms and self._marks:
                self._changed = self._changed or self._marks != self._state()
            self._norms.append((graph_pass(), norm(gradient, self._dtype)))

    def _state(self) -> list[int | None]:
        """Return what changes with every write into a gradient."""
        gradients = [one.grad for one in self._tensors]
        return [None if one is None else one._version for one in gradients]

    def _clear(self) -> None:
        self._norms: list[tuple[int, Tensor]] = []  # of the pass that is under way
        self._squares: list[Tensor] = []
        self._marks: list[int | None] = []  # at the end of the last pass
        self._changed = False
