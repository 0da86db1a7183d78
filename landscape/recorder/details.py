"""The dearer statistics of a step: signals, last update, successive gradients, gradient noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from landscape.recorder.guard import Guard
from landscape.recorder.network import Watched
from landscape.recorder.norms import copies, differences, inner_products, norms
from landscape.recorder.overhead import Meter
from landscape.recorder.pieces import Pieces
from landscape.recorder.ring import Parcels
from landscape.recorder.signals import Layout, Signals, reduced


@dataclass(kw_only=True)
class _Told:
    """What the host knows about the numbers of a step, and where each begins."""

    step: int
    layout: Layout
    cosine: bool
    update: bool = False
    scaled: bool
    pieces: int  # contributions that were seen
    sizes: tuple[int, ...]  # samples of each; empty where they are not known
    why: str  # pieces tell nothing; empty when they do
    ranks: int


SEVERAL_LOSSES = (
    "there were not as many forward as backward passes in a step: several losses of one batch are "
    "no micro-batches"
)


class Details:
    """Statistics that cost passes over activations or copies of weights, for some steps only.

    Args:
        watched: What is recorded.
        dtype: That squares are summed in.
        meter: Adds up the time that all of this takes.
        guard: Keeps errors of the hooks away from the run.
        ranks: Processes whose gradients are averaged.
    """

    def __init__(
        self, watched: Watched, dtype: torch.dtype, meter: Meter, guard: Guard, *, ranks: int
    ) -> None:
        self._watched = watched
        self._dtype = dtype
        self._ranks = ranks
        self._signals = Signals(watched.modules, dtype, meter, guard)
        self._pieces = Pieces(watched.tensors, dtype, meter, guard)
        self._weights: list[Tensor] | None = None
        self._gradients: dict[int, Tensor] = {}
        self._scalars: list[Tensor] = []
        self._told: _Told | None = None
        self._parcels: Parcels[_Told] = Parcels()
        self._told_order: tuple[str, ...] = ()
        self._passes: set[int] = set()  # that reached the parameters
        self.under_way = False

    def start(self, *, pieces: bool) -> None:
        """Attach what is needed before the forward pass of a step.

        Args:
            pieces: Whether the gradient is a mean of several pieces, whose norms tell the noise.
        """
        self.under_way = True
        self._passes = set()
        self._signals.start()
        if pieces:
            self._pieces.start()

    def stop(self) -> None:
        """Remove every hook, and let go what was kept."""
        self._signals.stop()
        self._pieces.stop()
        self._weights, self._gradients, self._told = None, {}, None
        self.under_way = False

    def keep_weights(self) -> None:
        """Keep the weights, to see how far the optimizer moves them."""
        self._weights = copies(self._watched.tensors)

    def reached(self, number: int) -> None:
        """Note that a backward pass reaches the parameters."""
        self._passes.add(number)

    def close_pass(self) -> None:
        """End a backward pass."""
        self._pieces.close(self._passes)

    def keep_gradients(self) -> None:
        """Keep the gradients of a step, to compare those of the next with them."""
        there = [(n, t.grad) for n, t in enumerate(self._watched.tensors) if t.grad is not None]
        if any(gradient.layout is not torch.strided for _, gradient in there):
            return  # two sparse gradients hold other places
        kept = copies([gradient for _, gradient in there])
        if kept is not None:
            self._gradients = {number: one for (number, _), one in zip(there, kept, strict=True)}

    def before(
        self,
        step: int,
        *,
        norms_before: Tensor | None,
        scale: Tensor | None,
        sizes: list[int],
        calls: int,
        passes: int,
    ) -> None:
        """Take what has been seen in the forward and backward passes of a step.

        Args:
            step: Its number.
            norms_before: Norms (N,) at the end of the last backward pass; None: they were not seen.
            scale: Of the loss.
            sizes: Samples of every forward pass.
            calls: Forward passes; 0: they were not seen, and those of the first module count.
            passes: Backward passes.
        """
        calls = calls or self._signals.calls
        signals, layout = self._signals.taken(self._passes)
        pieces, why = self._pieces.taken() if norms_before is not None else ([], "")
        if pieces and passes > 1 and calls != passes:
            why = why or SEVERAL_LOSSES
        pieces = [] if why else pieces
        cosine = self._compared()
        whole = [norms_before.square().sum()] if pieces and norms_before is not None else []
        self._scalars = [
            *([scale] if scale is not None else []),
            *cosine,
            *pieces,
            *whole,
            *signals,
        ]
        self._told = _Told(
            step=step,
            layout=layout,
            cosine=bool(cosine),
            scaled=scale is not None,
            pieces=len(pieces),
            sizes=tuple(sizes) if len(sizes) == len(pieces) else (),
            ranks=self._ranks,
            why=why,
        )
        self._gradients = {}

    def after(self) -> None:
        """Take the size of the update, and send everything off."""
        if self._told is None:
            return
        moved = self._moved()
        self._told.update = bool(moved)
        home = self._watched.tensors[0].device
        every = [self._scalar(one, home) for one in (*moved, *self._scalars)]
        if every:
            self._parcels.send(torch.stack(every), self._told)
        self._scalars = []
        self.stop()

    def _scalar(self, value: Tensor, home: torch.device) -> Tensor:
        value = value.detach()
        if not value.dim() and value.dtype == self._dtype and value.device == home:
            return value
        return value.reshape(()).to(home, self._dtype, non_blocking=True)

    def _moved(self) -> list[Tensor]:
        """Return how far each tensor was moved; nothing where there was no room for a copy."""
        if self._weights is None or not _alike(self._watched.tensors, self._weights):
            return []
        try:
            return norms(differences(self._watched.tensors, self._weights), self._dtype)
        except torch.OutOfMemoryError:
            return []

    def arrived(self, *, all_of_it: bool = False) -> list[dict[str, Any]]:
        """Return the records that have reached the host."""
        parcels = self._parcels.rest() if all_of_it else self._parcels.arrived()
        records: list[dict[str, Any]] = []
        for told, values in parcels:
            if told.layout.order != self._told_order and told.layout.order:
                self._told_order = told.layout.order
                order = {"kind": "order", "step": told.step, "modules": list(told.layout.order)}
                records.append(order)
            records.append(self._record(told, values))
        return records

    def _record(self, told: _Told, values: list[float]) -> dict[str, Any]:
        count = len(self._watched.tensors) if told.update else 0
        record: dict[str, Any] = {"kind": "detail", "step": told.step}
        if told.update:
            record["update"] = values[:count]
        rest = iter(values[count:])
        scale = next(rest) if told.scaled else 1.0
        if told.cosine:
            product, one, other = next(rest), next(rest), next(rest)
            size = math.sqrt(one) * math.sqrt(other)
            record["cosine"] = product / size if size > 0 else math.nan
        squares = [next(rest) / scale**2 for _ in range(told.pieces)]
        if told.pieces:
            record["pieces"] = _pieces(squares, next(rest) / scale**2, told)
        if told.why:
            record["no_pieces"] = told.why
        if told.layout.entries:
            record["signals"] = reduced(told.layout, list(rest), scale)
        return record

    def _compared(self) -> list[Tensor]:
        """Return ⟨g, g′⟩, |g|² and |g′|² of this gradient and the one before; sums over tensors."""
        pairs = [
            (tensor.grad, self._gradients[number])
            for number, tensor in enumerate(self._watched.tensors)
            if tensor.grad is not None and number in self._gradients
        ]
        now, then = [one for one, _ in pairs], [one for _, one in pairs]
        if not pairs or not _alike(now, then):
            return []
        home = self._watched.tensors[0].device
        products, lengths, others = (
            torch.stack([one.to(home) for one in each])
            for each in (
                inner_products(now, then, self._dtype),
                norms(now, self._dtype),
                norms(then, self._dtype),
            )
        )
        return [products.sum(), lengths.square().sum(), others.square().sum()]


def _alike(now: Sequence[Tensor], kept: Sequence[Tensor]) -> bool:
    """Return whether tensors can be held against copies of them: a loop may have put in others."""
    return all(
        one.layout is torch.strided
        and one.device == other.device
        and (torch.view_as_real(one) if one.is_complex() else one).shape == other.shape
        for one, other in zip(now, kept, strict=True)
    )


def _pieces(squares: list[float], whole: float, told: _Told) -> dict[str, Any]:
    """Return the squared norms of a piece and of the mean gradient, comparable with one another.

    The gradient that the optimizer sees is the sum of the contributions of this process's backward
    passes, averaged over the processes; the mean over all pieces is that over the passes.
    """
    sizes = told.sizes or (1,) * len(squares)
    return {
        "small": sum(squares) / len(squares),
        "big": whole / len(squares) ** 2,
        "inverse_size": sum(1 / size for size in sizes) / len(sizes),
        "pieces": len(squares) * told.ranks,
        "unit": "samples" if told.sizes else "micro-batches",
    }
