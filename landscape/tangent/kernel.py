"""The tangent kernel of a data set, tile by tile over its upper triangle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from landscape import progress
from landscape.errors import ResourceError
from landscape.linalg.memory import free_bytes
from landscape.subject.batch import Batch
from landscape.subject.regrouping import regrouped
from landscape.subject.subject import Subject
from landscape.tangent.blocks import Block, block_of
from landscape.tangent.contraction import Order, cheapest, contracted, costs
from landscape.tangent.factors import Factors, Flat

Kind = Literal["full", "trace", "classes"]

SHARE = 0.4  # of the free memory that factors, tiles and kernel may take
PROBE = 2  # samples whose factors tell what one takes
MOST = 512  # samples in a block


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """K = J Jᵀ of some samples, not normalised.

    Args:
        values: float64; full: (N O, N O), samples major; trace: Σ_c K_cc (N, N); classes: K_cc
            (O, N, N).
        outputs: f (N, O).
        shares: Of the trace, by parameter.
        orders: Of contraction, by parameter.
        unfactored: Parameters whose Jacobian was computed as it is, with the reason.
        agreement: The largest relative difference of any Jᵀu from autograd.
        block: Samples in a block.
    """

    values: np.ndarray
    outputs: np.ndarray
    shares: Mapping[str, float]
    orders: Mapping[str, Order]
    unfactored: Mapping[str, str]
    agreement: float
    block: int

    @property
    def trace(self) -> float:
        """Return Σ_n Σ_c ‖∇f_c(x_n)‖²."""
        return sum(self.shares.values())


@dataclass(frozen=True, kw_only=True)
class _Tile:
    """One tile, and what is told of the samples on the diagonal."""

    values: np.ndarray
    outputs: np.ndarray
    shares: dict[str, float]
    orders: dict[str, str]
    unfactored: dict[str, str]
    agreement: float


def kernel(
    subject: Subject,
    *,
    kind: Kind = "trace",
    combine: Tensor | None = None,
    memory_bytes: int | None = None,
    block: int | None = None,
) -> Kernel:
    """Return the kernel of all samples of the subject's data at its checkpoint.

    Tiles are computed in the precision of the subject and kept in float64. Each is remembered in
    the subject's folder, so that an interrupted kernel goes on, with the same bits.

    Args:
        subject: In eval mode, so that samples do not depend on one another.
        kind: All pairs of outputs, their trace, or every output by itself.
        combine: Directions (O, R) that outputs are first combined in; None: none.
        memory_bytes: For factors, tiles and the kernel; None: a share of what is free.
        block: Samples in a block; None: what fits.

    Raises:
        SettingError: The subject is in train mode.
        ResourceError: The kernel does not fit.

    Cost: per block O + 2 passes; the contraction of every pair of blocks; factors are captured
    once where those of all blocks fit, else once for every pair.

    Source: Novak, Sohl-Dickstein & Schoenholz 2022, arXiv 2206.08720.
    """
    subject.refuse_dependent("a tangent kernel")
    room = memory_bytes or int(SHARE * free_bytes(torch.device("cpu")))
    batches = list(subject.device_batches())
    each, outputs = _probe(subject, batches[0], combine)
    samples = sum(one.samples for one in batches)
    _check_room(samples, outputs, kind, room)
    size = block or _block_size(each, outputs, kind, room)
    parts = list(regrouped(batches, size))
    blocks = _Blocks(subject, parts, combine, room=room // 2)
    tiles = _Tiles(subject, blocks, kind, combine, room=room // 8)
    return tiles.kernel(size)


class _Blocks:
    """The factors of every block, kept while they fit."""

    def __init__(
        self, subject: Subject, parts: list[Batch], combine: Tensor | None, *, room: int
    ) -> None:
        self.parts = parts
        self._subject, self._combine, self._room = subject, combine, room
        self._kept: dict[int, Block] = {}

    def __getitem__(self, number: int) -> Block:
        if number not in self._kept:
            found = block_of(
                self._subject, self._subject.point, self.parts[number], combine=self._combine
            )
            while self._kept and self._used + found.nbytes > self._room:
                self._kept.pop(max(self._kept))  # the last is needed again the latest
            self._kept[number] = found
        return self._kept[number]

    @property
    def _used(self) -> int:
        return sum(one.nbytes for one in self._kept.values())


class _Tiles:
    """The tiles of the upper triangle."""

    def __init__(
        self, subject: Subject, blocks: _Blocks, kind: Kind, combine: Tensor | None, *, room: int
    ) -> None:
        self._subject, self._blocks = subject, blocks
        self._kind: Kind = kind
        self._directions = None if combine is None else combine.cpu().tolist()
        self._room = room

    def kernel(self, size: int) -> Kernel:
        count = len(self._blocks.parts)
        starts = np.cumsum([0, *(one.samples for one in self._blocks.parts)])
        values, outputs, told = np.zeros(0), list[np.ndarray](), list[_Tile]()
        with progress.task("tangent kernel", count * (count + 1) // 2) as task:
            for i in range(count):
                for j in range(i, count):
                    tile = self._tile(i, j, size)
                    if not values.size:
                        values = _empty(self._kind, int(starts[-1]), tile.outputs.shape[1])
                    _place(values, tile.values, self._kind, starts, i, j)
                    if i == j:
                        outputs.append(tile.outputs)
                        told.append(tile)
                    task.advance()
        names = list(dict.fromkeys(name for one in told for name in one.shares))
        return Kernel(
            values=values,
            outputs=np.concatenate(outputs),
            shares={name: sum(one.shares.get(name, 0.0) for one in told) for name in names},
            orders={n: o for one in told for n, o in one.orders.items()},  # type: ignore[misc]
            unfactored={n: why for one in told for n, why in one.unfactored.items()},
            agreement=max(one.agreement for one in told),
            block=size,
        )

    def _tile(self, i: int, j: int, size: int) -> _Tile:
        if self._subject.memory.folder is None:
            return self._computed(i, j)
        at = [i, j, size, self._kind, self._directions]

        def tangent_tile(subject: Subject, *, at: list[object]) -> _Tile:
            del subject, at  # the key
            return self._computed(i, j)

        return self._subject.once(tangent_tile, at=at)

    def _computed(self, i: int, j: int) -> _Tile:
        first, second = self._blocks[i], self._blocks[j]
        total, shares, orders = None, dict[str, float](), dict[str, str]()
        for name, factors in first.factors.items():
            if name not in second.factors:
                continue
            part, order = self._share(factors, second.factors[name], first.outputs.shape[1])
            orders[name] = order
            if i == j:
                shares[name] = _trace(part, self._kind)
            total = part if total is None else total.add_(part)
        if total is None:
            total = _nothing(first, second, self._kind)
        return _Tile(
            values=total.numpy(),
            outputs=first.outputs.double().cpu().numpy(),
            shares=shares,
            orders=orders,
            unfactored=dict(first.unfactored),
            agreement=first.agreement,
        )

    def _share(self, factors: Factors, other: Factors, outputs: int) -> tuple[Tensor, Order]:
        """Return the share of a parameter in a tile, float64 on the CPU, and the order taken."""
        traced = self._kind != "full"
        offered = costs(factors, other, outputs=outputs, traced=traced)
        order = cheapest(offered, room=self._room / _itemsize(factors)).order
        if self._kind == "classes":
            pairs = ((_output(factors, c), _output(other, c)) for c in range(outputs))
            found = torch.stack([contracted(f, g, order, traced=True) for f, g in pairs])
        else:
            found = contracted(factors, other, order, traced=traced)
        return found.double().cpu(), order


def _itemsize(factors: Factors) -> int:
    return factors.j.itemsize if isinstance(factors, Flat) else factors.d.itemsize


def _output(factors: Factors, c: int) -> Factors:
    if isinstance(factors, Flat):
        return Flat(j=factors.j[c : c + 1])
    return replace(factors, d=factors.d[c : c + 1])


def _trace(part: Tensor, kind: Kind) -> float:
    if kind == "full":
        return float(torch.einsum("ncnc->", part))
    return float(torch.einsum("...nn->", part))


def _nothing(first: Block, second: Block, kind: Kind) -> Tensor:
    n, m, outputs = first.samples, second.samples, first.outputs.shape[1]
    shape = {"full": (n, outputs, m, outputs), "trace": (n, m), "classes": (outputs, n, m)}[kind]
    return torch.zeros(shape, dtype=torch.float64)


def _empty(kind: Kind, samples: int, outputs: int) -> np.ndarray:
    if kind == "full":
        return np.zeros((samples * outputs, samples * outputs))
    return np.zeros((outputs, samples, samples) if kind == "classes" else (samples, samples))


def _place(
    values: np.ndarray, tile: np.ndarray, kind: Kind, starts: np.ndarray, i: int, j: int
) -> None:
    if kind == "full":
        outputs = tile.shape[1]
        rows, columns = (slice(outputs * starts[k], outputs * starts[k + 1]) for k in (i, j))
        flat = tile.reshape(tile.shape[0] * outputs, tile.shape[2] * outputs)
    else:
        rows, columns = (slice(starts[k], starts[k + 1]) for k in (i, j))
        flat = tile
    values[..., rows, columns] = flat
    values[..., columns, rows] = np.swapaxes(flat, -1, -2)


def _probe(subject: Subject, batch: Batch, combine: Tensor | None) -> tuple[float, int]:
    """Return the bytes of a sample's factors, and the number of outputs."""
    found = block_of(subject, subject.point, batch.head(PROBE), combine=combine)
    return found.nbytes / found.samples, found.outputs.shape[1]


def _block_size(each: float, outputs: int, kind: Kind, room: int) -> int:
    """Return so many samples that two blocks of factors and a tile fit a quarter of the room."""
    entry = 8 * (outputs**2 if kind == "full" else outputs if kind == "classes" else 1)
    size = 1
    while size < MOST and 2 * (2 * size) * each + 2 * (2 * size) ** 2 * entry <= room / 4:
        size *= 2
    return size


def _check_room(samples: int, outputs: int, kind: Kind, room: int) -> None:
    rows = samples * outputs if kind == "full" else samples
    needed = 8 * rows**2 * (outputs if kind == "classes" else 1)
    if needed > room // 2:
        raise ResourceError(
            f"the kernel of {samples:,} samples and {outputs:,} outputs does not fit",
            where="tangent kernel",
            why=f"it takes {needed / 2**30:,.1f} GiB, and {room / 2**31:,.1f} GiB are for it",
            hint="take fewer samples (--max-samples), or the trace over the outputs",
        )
