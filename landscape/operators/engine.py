"""The product engine: A V over a whole dataset, in the way that is fastest for this network.

A = Σ_b A_b / count over micro-batches b. Every share A_b can be applied in several ways (`ways`).
None wins everywhere, so they are timed on the products that are asked for anyway: the cached graph
first, which costs nothing to set up, and the recording as soon as what was spent would have paid
for it. Small problems are not timed on the CPU, so that one question has one answer to the last
bit.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from landscape.errors import ModelError, ResourceError, out_of_memory
from landscape.linalg.memory import free_bytes
from landscape.operators.compiled import Compiler
from landscape.operators.kept import Kept
from landscape.operators.local import Local
from landscape.operators.memory import SHARE, KeptPages
from landscape.operators.microbatches import LIVE, Grouping
from landscape.operators.trials import Trials
from landscape.operators.watch import Watch
from landscape.operators.ways import (
    MISSING,
    RECOMPUTED,
    DisagreementError,
    compare,
    first_product,
)
from landscape.subject.batch import Batch
from landscape.subject.cost import count_products
from landscape.subject.network import first_line
from landscape.subject.subject import Product, Subject
from landscape.subject.undisturbed import differentiable_attention, exact_arithmetic

RECORDING = 0.1  # seconds that recording one micro-batch may take
UNTIMED = 2 * 2**20  # bytes of a forward pass over the data, below which no clock is asked
IMPORTS = 1.0  # seconds to load what PyTorch's forward mode and vectorisation need, about
AUTO = ("cached", "linearize")


class Engine:
    """Computes products of Σ_b A_b / count with blocks of rows.

    Args:
        subject: Network, loss and data.
        device: Where the vectors are.
        local: The share of a micro-batch.
        micro_batches: The data.
        exact: The share of a micro-batch, in float64.
        product: The way; `auto` measures.
        block: Most vectors at a time.
    """

    def __init__(
        self,
        subject: Subject,
        device: torch.device,
        local: Callable[[Batch], Local],
        micro_batches: Grouping,
        *,
        exact: Callable[[Batch], Local],
        product: Product,
        block: int,
    ) -> None:
        self.subject = subject
        self.product: Product = product
        self._local, self._exact = local, exact
        self._device = device
        self.block = block
        self.micro_batches = micro_batches
        self._kept = Kept(int(SHARE * free_bytes(device)))
        self._trials: dict[int, Trials] = {}
        self._compiler = Compiler()
        self.agreement = 0.0
        self._pages_kept = False

    @property
    def way(self) -> str:
        """Return how products are computed, in words."""
        best = {size: trials.best for size, trials in sorted(self._trials.items())}
        if len(set(best.values())) <= 1:
            return next(iter(best.values()), self.product)
        return ", ".join(f"{name} (blocks of {size})" for size, name in best.items())

    @property
    def refused(self) -> dict[str, str]:
        """Return the ways that were tried in vain, with the reason."""
        return {
            way: reason
            for trials in self._trials.values()
            for way, reason in trials.reasons.items()
        }

    def products(self, rows: Tensor) -> Tensor:
        """Return A applied to rows (k, n), in one pass over the data.

        Raises:
            ModelError: No way exists for this network.
            ResourceError: Memory ran out even for the smallest micro-batch and block.
        """
        total = self.subject.ranks.total(lambda: self._own(rows), "products", at=rows)
        count_products(len(rows))
        return total.div_(self.subject.count)

    def _own(self, rows: Tensor) -> Tensor:
        """Return what the samples of this rank add to the sum."""
        if not self._pages_kept:  # from here on: what came before should give its memory back
            KeptPages.during(self)
            self._pages_kept = True
        while True:
            try:
                with exact_arithmetic():
                    return self._pass(rows)
            except Exception as error:
                if out_of_memory(error) is None:
                    raise
                told = first_line(error)
            self._shrink(told)  # when what the error holds on to is free

    def _pass(self, rows: Tensor) -> Tensor:
        chunks = list(_chunks(len(rows), self.block))
        total = torch.zeros_like(rows) if len(chunks) > 1 else None
        watches = {part.stop - part.start: Watch(self._device) for part in chunks}
        for place, batch in enumerate(self.micro_batches):
            for part in chunks:
                size = part.stop - part.start
                with watches[size].running(on=not self._trial(size).settled):
                    share = self._share(place, batch, rows[part])
                    if total is None:  # a pass over memory less than a sum with zeros
                        total = _owned(share, rows)
                    else:
                        total[part] += share
        for size, watch in watches.items():
            trial = self._trial(size)
            if watch.laps and not trial.settled:
                trial.report(trial.next(), watch.seconds / watch.laps * len(self.micro_batches))
                if trial.settled:
                    self._kept.drop_others(size, trial.best)
        return torch.zeros_like(rows) if total is None else total

    def _trial(self, size: int) -> Trials:
        if size not in self._trials:
            candidates = AUTO if self.product == "auto" else (self.product,)
            self._trials[size] = Trials(candidates, worth=self._worth())
        return self._trials[size]

    def _worth(self) -> float:
        """Return the seconds that setting up another way may take."""
        if self._device.type == "cpu" and self.micro_batches.bytes < UNTIMED:
            return math.inf
        return RECORDING * len(self.micro_batches) + imports()

    def _share(self, place: int, batch: Batch, rows: Tensor) -> Tensor:
        """Return the share of a micro-batch, by the way whose turn it is."""
        trial = self._trial(len(rows))
        while True:
            way = trial.next()
            if (kept := self._kept.get(place, way, len(rows))) is not None:
                return kept(rows)
            try:
                return self._set_up(place, batch, rows, way)
            except MISSING as error:
                if out_of_memory(error) is not None:
                    raise
                trial.drop(way, first_line(error))
                if not trial.candidates:
                    self._fall_back(trial, error)

    def _fall_back(self, trial: Trials, error: Exception) -> None:
        """Add forward mode, one vector after another, as the last way.

        Raises:
            ModelError: It was tried already, or another way was asked for.
        """
        if self.product == "auto" and "forward" not in trial.reasons:
            trial.add("forward")
            return
        if isinstance(error, DisagreementError):
            raise error
        raise ModelError(
            "the derivative of this network that is needed does not exist in PyTorch",
            where=f"--product {self.product}",
            why="; ".join(f"{way}: {reason}" for way, reason in trial.reasons.items()),
            hint="replace the operation that is named, or take differences: --product differences"
            if self.product == "auto"
            else "use --product auto or differences, or replace the operation that is named",
        ) from error

    def _set_up(self, place: int, batch: Batch, rows: Tensor, way: str) -> Tensor:
        """Return the first product of a way with a micro-batch, and keep what can be kept."""
        room = self._kept.room(way, len(rows), self._guess(batch))
        if place == 0 and way == "linearize":
            self._kept.drop("cached")  # the recordings take its memory over; it can be had again
        with self.subject.undisturbed(0), differentiable_attention():
            local = self._exact(batch) if way == "differences" else self._local(batch)
            chosen = way if room else RECOMPUTED[way]
            function, found, size = first_product(chosen, local, rows, self._compiler)
            if place == 0 and way in ("linearize", "forward", "compiled"):
                difference = compare(way, local, rows, found, function)
                self.agreement = max(self.agreement, difference)
        if function is not None:
            self._kept.put(place, way, len(rows), function, size or self._guess(batch))
        return found

    def _guess(self, batch: Batch) -> int:
        return int(LIVE * self.micro_batches.bytes_per_sample * batch.samples)

    def _shrink(self, told: str) -> None:
        """Let go of what is kept, and halve the micro-batches or the block.

        Raises:
            ResourceError: Nothing is left to halve.
        """
        self._kept.clear()
        if self.micro_batches.halve():
            smaller = f"micro-batches of {self.micro_batches.samples} samples"
        elif self.block > 1:
            self.block //= 2
            smaller = f"blocks of {self.block} vectors"
        else:
            raise self._exhausted(told)
        self.subject.note(f"memory ran out: went on with {smaller}")
        self._trials = {}

    def _exhausted(self, told: str) -> ResourceError:
        samples = max(batch.samples for batch in self.micro_batches)
        needed = int(LIVE * self.micro_batches.bytes_per_sample * samples)
        if self.subject.mode == "train":
            what, smaller = "the batch of train mode, which cannot be split", "a smaller batch"
        else:
            what, smaller = "the smallest micro-batch", "smaller batches"
        return ResourceError(
            f"memory ran out for a single vector and {what}",
            where=f"micro-batches of {samples} samples",
            why=f"a product needs about {needed / 2**20:,.1f} MiB beside the weights, and "
            f"{free_bytes(self._device) / 2**20:,.1f} MiB are free: {told}",
            hint=f"study fewer parameters (--params), give {smaller}, or use another device",
        )


def imports() -> float:
    """Return the seconds that PyTorch's own imports take once more in this process, about."""
    return 0.0 if "torch._dynamo" in sys.modules else IMPORTS


def _owned(share: Tensor, rows: Tensor) -> Tensor:
    """Return a share where it can be added to: laid out as the rows, but not in their memory."""
    apart = share.untyped_storage().data_ptr() != rows.untyped_storage().data_ptr()
    alone = apart and share.is_contiguous() and share.dtype == rows.dtype
    return share if alone else torch.zeros_like(rows).copy_(share)


def _chunks(count: int, block: int) -> Iterator[slice]:
    """Yield slices whose lengths are powers of two, so that few recordings serve all blocks."""
    start = 0
    while start < count:
        size = min(block, 1 << ((count - start).bit_length() - 1))
        yield slice(start, start + size)
        start += size
