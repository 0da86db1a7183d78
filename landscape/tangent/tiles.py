"""Tiles of a kernel over pairs of blocks of samples, each remembered by itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from landscape.subject.batch import Batch
from landscape.subject.subject import Subject
from landscape.tangent.blocks import Block, block_of
from landscape.tangent.contraction import Order, Products, cheapest, contracted, costs
from landscape.tangent.factors import Factors, Flat
from landscape.tangent.memory import Kind


@dataclass(frozen=True, kw_only=True)
class Told:
    """What is told of the samples of a block, and of how its tile was computed."""

    outputs: np.ndarray
    shares: Mapping[str, float]  # of the trace
    orders: Mapping[str, str]
    unfactored: Mapping[str, str]
    agreement: float


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One tile, and what is told of its first block.

    Args:
        values: float64.
        told: Of the first block.
        parts: Shares of the layers in the trace over the outputs (L, n, m), where asked for.
    """

    values: np.ndarray
    told: Told
    parts: np.ndarray | None = None


class Blocks:
    """The factors of every block, kept while they fit."""

    def __init__(
        self, subject: Subject, parts: list[Batch], combine: Tensor | None, *, room: float
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
    def starts(self) -> np.ndarray:
        """Return where the samples of every block begin, and where the last end."""
        return np.cumsum([0, *(one.samples for one in self.parts)])

    @property
    def _used(self) -> int:
        return sum(one.nbytes for one in self._kept.values())


@dataclass(kw_only=True)
class Tiles:
    """The tiles of pairs of blocks.

    Args:
        subject: Whose memory keeps them.
        blocks: Of samples.
        kind: All pairs of outputs, their trace, or every output by itself.
        room: Bytes for the contraction of one parameter.
        key: What tells the samples, their blocks and the outputs from others.
        layers: Parameters by layer, whose shares are wanted; empty: none are.
    """

    subject: Subject
    blocks: Blocks
    kind: Kind
    room: int
    key: list[object] = field(default_factory=list[object])
    layers: Mapping[str, list[str]] = field(default_factory=dict[str, list[str]])

    def tile(self, i: int, j: int) -> Tile:
        """Return the tile of two blocks, computed or remembered."""
        if self.subject.memory.folder is None:
            return self._computed(i, j)
        found: list[Tile] = []

        def computed() -> Tile:
            if not found:
                found.append(self._computed(i, j))
            return found[0]

        def tangent_tile(subject: Subject, *, at: list[object]) -> np.ndarray:
            del subject, at  # the key
            return computed().values

        def tangent_told(subject: Subject, *, at: list[object]) -> Told:
            del subject, at
            return computed().told

        def tangent_layers(subject: Subject, *, at: list[object]) -> np.ndarray:
            del subject, at
            return np.asarray(computed().parts)

        at = [i, j, self.kind, *self.key]
        values = self.subject.once(tangent_tile, at=at)
        parts = self.subject.once(tangent_layers, at=at) if self.layers else None
        told = self.subject.once(tangent_told, at=at)
        return Tile(values=values, told=told, parts=parts)

    def _computed(self, i: int, j: int) -> Tile:
        first, second = self.blocks[i], self.blocks[j]
        total, shares, orders = _nothing(first, second, self.kind), dict[str, float](), {}
        parts = total.new_zeros(len(self.layers), first.samples, second.samples)
        place = {name: k for k, names in enumerate(self.layers.values()) for name in names}
        products = Products()
        for name, factors in first.factors.items():
            if name not in second.factors:
                continue
            part, orders[name] = self._share(factors, second.factors[name], products)
            if i == j:
                shares[name] = _trace(part, self.kind)
            total += part  # in float64
            if name in place:
                parts[place[name]] += _traced(part, self.kind)
        told = Told(
            outputs=first.outputs.double().cpu().numpy(),
            shares=shares,
            orders=orders,
            unfactored=dict(first.unfactored),
            agreement=first.agreement,
        )
        kept = parts.float().cpu().numpy() if self.layers else None
        return Tile(values=total.cpu().numpy(), told=told, parts=kept)

    def _share(self, factors: Factors, other: Factors, products: Products) -> tuple[Tensor, Order]:
        """Return the share of a parameter in a tile, and the order taken."""
        traced, outputs = self.kind != "full", outputs_of(factors)
        offered = costs(factors, other, outputs=outputs, traced=traced)
        order = cheapest(offered, room=self.room / itemsize(factors)).order
        if self.kind != "classes":
            return contracted(factors, other, order, traced=traced, products=products), order
        found = [_of_output(factors, other, c, order) for c in range(outputs)]
        return torch.stack(found), order


def placed(
    tiles: Iterable[tuple[int, int, np.ndarray]],
    kind: Kind,
    *,
    rows: np.ndarray,
    columns: np.ndarray,
    outputs: int,
    symmetric: bool = False,
) -> np.ndarray:
    """Return a matrix made of tiles (i, j, values).

    Args:
        tiles: One after another.
        kind: What each holds.
        rows: Where blocks of rows begin, and where the last ends.
        columns: The same of columns.
        outputs: O.
        symmetric: Whether a tile stands for its mirror image too.
    """
    scale = outputs if kind == "full" else 1
    before = (outputs,) if kind == "classes" else ()
    values = np.zeros((*before, scale * int(rows[-1]), scale * int(columns[-1])))
    for i, j, tile in tiles:
        n, m = int(rows[i + 1] - rows[i]), int(columns[j + 1] - columns[j])
        flat = tile.reshape(*before, scale * n, scale * m)
        across = slice(scale * rows[i], scale * rows[i + 1])
        along = slice(scale * columns[j], scale * columns[j + 1])
        values[..., across, along] = flat
        if symmetric and i != j:
            values[..., along, across] = np.swapaxes(flat, -1, -2)
    return values


def itemsize(factors: Factors) -> int:
    """Return the bytes of a number."""
    return factors.j.itemsize if isinstance(factors, Flat) else factors.d.itemsize


def outputs_of(factors: Factors) -> int:
    """Return O."""
    return (factors.j if isinstance(factors, Flat) else factors.d).shape[1]


def _of_output(factors: Factors, other: Factors, c: int, order: Order) -> Tensor:  # (n, m)
    one = _output(factors, c)
    return contracted(one, one if other is factors else _output(other, c), order, traced=True)


def _output(factors: Factors, c: int) -> Factors:
    if isinstance(factors, Flat):
        return replace(factors, j=factors.j[:, c : c + 1])
    return replace(factors, d=factors.d[:, c : c + 1])


def _traced(part: Tensor, kind: Kind) -> Tensor:  # (n, m)
    """Return the sum over equal outputs."""
    if kind == "full":
        return part.diagonal(dim1=1, dim2=3).sum(-1)
    return part.sum(0) if kind == "classes" else part


def _trace(part: Tensor, kind: Kind) -> float:
    if kind == "full":
        rows = part.shape[0] * part.shape[1]
        part = part.reshape(rows, rows)
    return float(part.diagonal(dim1=-2, dim2=-1).sum(dtype=torch.float64))


def _nothing(first: Block, second: Block, kind: Kind) -> Tensor:
    n, m, outputs = first.samples, second.samples, first.outputs.shape[1]
    shape = {"full": (n, outputs, m, outputs), "trace": (n, m), "classes": (outputs, n, m)}[kind]
    return torch.zeros(shape, dtype=torch.float64, device=first.outputs.device)
