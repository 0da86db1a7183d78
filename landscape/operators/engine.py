"""The product engine: A V over a whole dataset, in the way that is fastest for this network.

A = Σ_b A_b / count over micro-batches b. Every share A_b can be applied in several ways, all exact:

- reverse: differentiate the gradient's graph, built anew in every pass;
- cached: keep that graph;
- forward: differentiate the gradient in forward mode, all vectors of a block at once;
- linearize: record forward mode once and replay what depends on the vectors (`Tape`);
- compiled: that recording, compiled by `torch.compile`;
- differences: central differences in float64, exact only to their step. Never chosen by itself.

None wins everywhere, so they are timed on the products that are asked for anyway: the cached graph
first, which costs nothing to set up, and the recording as soon as what was spent would have paid
for it. Small problems are not timed on the CPU, so that one question has one answer to the last
bit. A way is used only if it agrees with a product of the gradient's graph.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from landscape.errors import (
    DataError,
    ModelError,
    NumericalError,
    ResourceError,
    out_of_memory,
)
from landscape.linalg.memory import free_bytes
from landscape.linalg.probes import spherical
from landscape.operators.compiled import Compiler
from landscape.operators.local import Local, Rows, one_by_one, vectorised
from landscape.operators.memory import SHARE, KeptPages
from landscape.operators.microbatches import LIVE, Grouping
from landscape.operators.tape import Tape
from landscape.operators.trials import Trials
from landscape.subject.batch import Batch
from landscape.subject.cost import count_products
from landscape.subject.network import first_line
from landscape.subject.subject import Product, Subject
from landscape.subject.undisturbed import differentiable_attention, exact_arithmetic

RECORDING = 0.1  # seconds that recording one micro-batch may take
UNTIMED = 2 * 2**20  # bytes of a forward pass over the data, below which no clock is asked
IMPORTS = 1.0  # seconds more, if PyTorch has to load what its forward mode needs
AGREEMENT = {torch.float32: 2e-3, torch.float64: 1e-8}  # relative, of a way with the reference
DIFFERENCE = 1e-5  # relative step of central differences: kinks want it small
AUTO = ("cached", "linearize")
MISSING = (RuntimeError, DataError, ModelError)  # what PyTorch raises for a missing mode


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
        self._kept = _Kept(int(SHARE * free_bytes(device)))
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
        return total / self.subject.count

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
        total = torch.zeros_like(rows)
        chunks = list(_chunks(len(rows), self.block))
        watches = {part.stop - part.start: _Watch(self._device) for part in chunks}
        for place, batch in enumerate(self.micro_batches):
            for part in chunks:
                size = part.stop - part.start
                with watches[size].running(on=not self._trial(size).settled):
                    total[part] += self._share(place, batch, rows[part])
        for size, watch in watches.items():
            trial = self._trial(size)
            if watch.laps and not trial.settled:
                trial.report(trial.next(), watch.seconds / watch.laps * len(self.micro_batches))
                if trial.settled:
                    self._kept.drop_others(size, trial.best)
        return total

    def _trial(self, size: int) -> Trials:
        if size not in self._trials:
            candidates = AUTO if self.product == "auto" else (self.product,)
            self._trials[size] = Trials(candidates, worth=self._worth())
        return self._trials[size]

    def _worth(self) -> float:
        """Return the seconds that setting up another way may take."""
        if self._device.type == "cpu" and self.micro_batches.bytes < UNTIMED:
            return math.inf
        imports = 0.0 if "torch._dynamo" in sys.modules else IMPORTS
        return RECORDING * len(self.micro_batches) + imports

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
        if isinstance(error, _DisagreementError):
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
            function, found, size = self._first(way if room else _RECOMPUTED[way], local, rows)
            if place == 0 and way in ("linearize", "forward", "compiled"):
                self._compare(way, local, rows, found, function)
        if function is not None:
            self._kept.put(place, way, len(rows), function, size or self._guess(batch))
        return found

    def _first(self, way: str, local: Local, rows: Tensor) -> tuple[Rows | None, Tensor, int]:
        """Return what can be kept of a way, its product with rows, and the memory it takes."""
        if way in ("reverse", "cached"):
            function = local.graph()
            return (function if way == "cached" else None), function(rows), 0
        if way == "differences":
            products = [local.difference(row.double(), DIFFERENCE)[0] for row in rows]
            return None, torch.stack(products).to(rows.dtype), 0
        if way == "forward":
            try:
                return None, vectorised(local)(rows), 0
            except MISSING:
                return None, one_by_one(local)(rows), 0
        tape, found = Tape.record(vectorised(local), rows)
        if way == "linearize" or not len(tape):
            return tape, found, tape.constant_bytes
        function = self._compiler(tape)
        return function, function(rows), tape.constant_bytes

    def _guess(self, batch: Batch) -> int:
        return int(LIVE * self.micro_batches.bytes_per_sample * batch.samples)

    def _compare(
        self, way: str, local: Local, rows: Tensor, found: Tensor, function: Rows | None
    ) -> None:
        """Hold the first row of a product against the reference.

        What is kept is held against it at a random vector, which it was not set up with.

        Raises:
            NumericalError: They differ.
        """
        if function is not None:
            generator = torch.Generator().manual_seed(0)
            probe = spherical(1, rows.shape[1], like=rows, generator=generator)
            rows = torch.cat([probe, rows[1:]])
            found = function(rows)
        try:
            expected = local.graph()(rows[:1])
        except MISSING:
            expected = one_by_one(local)(rows[:1])
        scale = float(torch.linalg.vector_norm(expected, dtype=torch.float64))
        error = float(torch.linalg.vector_norm(found[:1] - expected, dtype=torch.float64))
        relative = error / scale if scale else error
        if not relative <= AGREEMENT[rows.dtype]:
            raise _DisagreementError(
                f"the way {way} differs from the reference product by {relative:.2g}",
                where="product engine",
                hint="use --product auto, reverse or cached",
            )
        self.agreement = max(self.agreement, relative)

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


_RECOMPUTED = {  # what a way is when nothing can be kept
    "cached": "reverse",
    "linearize": "forward",
    "compiled": "forward",
    "reverse": "reverse",
    "forward": "forward",
    "differences": "differences",
}


class _DisagreementError(NumericalError, RuntimeError):
    """A way that does not agree with the reference."""


@dataclass
class _Kept:
    """Linearisations that are kept, and the memory they take."""

    limit: int
    used: int = 0
    functions: dict[tuple[int, str, int], tuple[Rows, int]] = field(default_factory=dict)
    sizes: dict[tuple[str, int], int] = field(default_factory=dict)

    def get(self, place: int, way: str, size: int) -> Rows | None:
        found = self.functions.get((place, way, _class(way, size)))
        return found[0] if found is not None else None

    def room(self, way: str, size: int, guess: int) -> bool:
        return self.used + self.sizes.get((way, size), guess) <= self.limit

    def put(self, place: int, way: str, size: int, function: Rows, held: int) -> None:
        self.sizes[way, size] = held
        if self.used + held <= self.limit:
            self.functions[place, way, _class(way, size)] = function, held
            self.used += held

    def drop_others(self, size: int, best: str) -> None:
        """Let go of recordings for a block size that is computed in another way."""
        self._drop([key for key in self.functions if key[2] == size and key[1] != best])

    def drop(self, way: str) -> None:
        """Let go of everything of a way."""
        self._drop([key for key in self.functions if key[1] == way])

    def _drop(self, keys: list[tuple[int, str, int]]) -> None:
        for key in keys:
            self.used -= self.functions.pop(key)[1]

    def clear(self) -> None:
        self.functions.clear()
        self.used = 0


def _class(way: str, size: int) -> int:
    """Return the block size that something kept is for; a graph serves every size."""
    return 0 if way == "cached" else size


class _Watch:
    """Adds up the time of what is worth timing."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.seconds = 0.0
        self.laps = 0

    def running(self, *, on: bool) -> _Watch:
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


def _chunks(count: int, block: int) -> Iterator[slice]:
    """Yield slices whose lengths are powers of two, so that few recordings serve all blocks."""
    start = 0
    while start < count:
        size = min(block, 1 << ((count - start).bit_length() - 1))
        yield slice(start, start + size)
        start += size
