"""The tangent kernel of a data set, tile by tile over its upper triangle."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape import progress
from landscape.errors import ResourceError
from landscape.linalg.memory import free_bytes
from landscape.subject.batch import Batch
from landscape.subject.regrouping import regrouped
from landscape.subject.subject import Subject
from landscape.tangent.blocks import probed
from landscape.tangent.memory import COPIES, SLACK, TILE, Kind, Sample, kept_room, kernel_bytes
from landscape.tangent.tiles import Blocks, Tile, Tiles, Told, placed

SHARE = 0.4  # of the free memory that factors, tiles and kernel may take
PROBE = 2  # samples whose factors tell what one takes
MOST = 512  # samples in a block
NEAR = 8  # samples in a block where only the diagonal is wanted


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
        layers: Shares of the layers in Σ_c K_cc, each (N, N) in float32, where asked for.
    """

    values: np.ndarray
    outputs: np.ndarray
    shares: Mapping[str, float]
    orders: Mapping[str, str]
    unfactored: Mapping[str, str]
    agreement: float
    block: int
    layers: Mapping[str, np.ndarray]

    @property
    def trace(self) -> float:
        """Return Σ_n Σ_c ‖∇f_c(x_n)‖²."""
        return sum(self.shares.values())


def kernel(
    subject: Subject,
    *,
    kind: Kind = "trace",
    batches: list[Batch] | None = None,
    combine: Tensor | None = None,
    memory_bytes: int | None = None,
    block: int | None = None,
    by_layer: bool = False,
) -> Kernel:
    """Return the kernel of samples of the subject's data at its checkpoint.

    Tiles are computed in the precision of the subject and kept in float64. Each is remembered in
    the subject's folder, so that an interrupted kernel goes on, with the same bits.

    Args:
        subject: In eval mode, so that samples do not depend on one another.
        kind: All pairs of outputs, their trace, or every output by itself.
        batches: Samples on the subject's device; None: all of its data.
        combine: Directions (O, R) that outputs are first combined in; None: none.
        memory_bytes: For factors, tiles and the kernel; None: a share of what is free.
        block: Samples in a block; None: what fits.
        by_layer: Whether the shares of the layers are wanted; they are left out where they do not
            fit.

    Raises:
        SettingError: The subject is in train mode.
        ResourceError: The kernel does not fit.

    Cost: per block O + 2 passes, and two samples' before; the contraction of every pair of blocks;
    factors are captured once where those of all blocks fit, else once for every pair.

    Source: Novak, Sohl-Dickstein & Schoenholz 2022, arXiv 2206.08720.
    """
    subject.refuse_dependent("a tangent kernel")
    room = memory_bytes or int(SHARE * free_bytes(torch.device("cpu")))
    given = batches if batches is not None else list(subject.device_batches())
    one = probe(subject, given[0], combine, room=room)
    outputs, samples = one.outputs, sum(batch.samples for batch in given)
    require_room(samples**2, outputs, kind, room)
    layers = kept_layers(subject, samples, room) if by_layer else {}
    held = kernel_bytes(samples**2, outputs, kind) + 4 * len(layers) * samples**2
    size = block or block_size(one, kind, room, held)
    left = kept_room(one, size, held, room)
    blocks = Blocks(subject, list(regrouped(given, size)), combine, room=left)
    key = ["upper triangle", _digest(subject, given), size, _directions(combine)]
    tiles = Tiles(
        subject=subject, blocks=blocks, kind=kind, room=room // TILE, key=key, layers=layers
    )
    told, starts = list[Told](), blocks.starts
    parts = np.zeros((len(layers), samples, samples), dtype=np.float32)

    def upper() -> Iterator[tuple[int, int, np.ndarray]]:
        count = len(blocks.parts)
        with progress.task("tangent kernel", count * (count + 1) // 2) as task:
            for i in range(count):
                for j in range(i, count):
                    tile = tiles.tile(i, j)
                    if i == j:
                        told.append(tile.told)
                    if tile.parts is not None:
                        rows, along = (slice(starts[k], starts[k + 1]) for k in (i, j))
                        parts[:, rows, along] = tile.parts
                        parts[:, along, rows] = tile.parts.swapaxes(1, 2)
                    yield i, j, tile.values
                    task.advance()

    values = placed(upper(), kind, rows=starts, columns=starts, outputs=outputs, symmetric=True)
    found = np.concatenate([one.outputs for one in told])
    shares = dict(zip(layers, parts, strict=True))
    return Kernel(values=values, outputs=found, block=size, layers=shares, **_of(told))


def layers_of(subject: Subject) -> dict[str, list[str]]:
    """Return the studied parameters of every layer: those that one module owns."""
    found = dict[str, list[str]]()
    for part in subject.parameters.blocks:
        found.setdefault(part.name.rpartition(".")[0] or part.name, []).append(part.name)
    return found


def kept_layers(subject: Subject, samples: int, room: int) -> dict[str, list[str]]:
    """Return the layers whose shares are kept: all, or none where they take too much."""
    layers = layers_of(subject)
    return layers if 4 * len(layers) * samples**2 <= room // 8 else {}


def cross_kernel(
    subject: Subject,
    others: list[Batch],
    batches: list[Batch],
    *,
    kind: Kind = "trace",
    memory_bytes: int | None = None,
    block: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return K(x, x') = J(x) J(x')ᵀ of two sets of samples, and the outputs of the first (M, O).

    Args:
        subject: In eval mode.
        others: The samples x of the rows, on the subject's device.
        batches: The samples x' of the columns.
        kind: As for `kernel`; the shapes are (M O, N O), (M, N) and (O, M, N).
        memory_bytes: For factors, tiles and the kernel; None: a share of what is free.
        block: Samples in a block; None: what fits.

    Raises:
        SettingError: The subject is in train mode.
        ResourceError: The kernel does not fit.
    """
    subject.refuse_dependent("a tangent kernel")
    room = memory_bytes or int(SHARE * free_bytes(torch.device("cpu")))
    one = probe(subject, batches[0], None, room=room)
    outputs = one.outputs
    counts = [sum(batch.samples for batch in part) for part in (others, batches)]
    require_room(counts[0] * counts[1], outputs, kind, room)
    held = kernel_bytes(counts[0] * counts[1], outputs, kind)
    size = block or block_size(one, kind, room, held)
    above, along = (list(regrouped(part, size)) for part in (others, batches))
    left = kept_room(one, size, held, room)
    blocks = Blocks(subject, [*along, *above], None, room=left)
    key = ["rectangle", _digest(subject, [*others, *batches]), size]
    tiles = Tiles(subject=subject, blocks=blocks, kind=kind, room=room // TILE, key=key)
    found = dict[int, np.ndarray]()

    def rectangle() -> Iterator[tuple[int, int, np.ndarray]]:
        with progress.task("held-out tangent kernel", len(above) * len(along)) as task:
            for i in range(len(above)):
                for j in range(len(along)):
                    tile = tiles.tile(len(along) + i, j)
                    found[i] = tile.told.outputs
                    yield i, j, tile.values
                    task.advance()

    rows = np.cumsum([0, *(one.samples for one in above)])
    columns = np.cumsum([0, *(one.samples for one in along)])
    values = placed(rectangle(), kind, rows=rows, columns=columns, outputs=outputs)
    return values, np.concatenate(list(found.values()))


@dataclass(frozen=True, kw_only=True)
class Diagonal:
    """Σ_c ‖∇f_c(x_n)‖² of every sample, exactly, without the rest of the kernel.

    Args:
        values: (N,).
        shares: Of the trace, by parameter.
        orders: Of contraction, by parameter.
        unfactored: Parameters whose Jacobian was computed as it is, with the reason.
        agreement: The largest relative difference of any Jᵀu from autograd.
    """

    values: np.ndarray
    shares: Mapping[str, float]
    orders: Mapping[str, str]
    unfactored: Mapping[str, str]
    agreement: float


def diagonal(
    subject: Subject, batches: list[Batch], *, memory_bytes: int | None = None
) -> Diagonal:
    """Return the diagonal of the trace kernel of some samples.

    Args:
        subject: In eval mode.
        batches: Samples on its device.
        memory_bytes: For factors; None: a share of what is free.

    Raises:
        ResourceError: Not even one sample's factors fit.

    Cost: O + 2 passes over the samples, and their products with `NEAR` of themselves.
    """
    room = memory_bytes or int(SHARE * free_bytes(torch.device("cpu")))
    size = min(NEAR, block_size(probe(subject, batches[0], None, room=room), "trace", room, 0))
    parts = list(regrouped(batches, size))
    blocks = Blocks(subject, parts, None, room=0)
    key = ["diagonal", _digest(subject, batches), size]
    tiles = Tiles(subject=subject, blocks=blocks, kind="trace", room=room // TILE, key=key)
    with progress.task("trace of the tangent kernel", len(parts)) as task:
        found = list[Tile]()
        for i in range(len(parts)):
            found.append(tiles.tile(i, i))
            task.advance()
    told = [one.told for one in found]
    return Diagonal(values=np.concatenate([np.diagonal(one.values) for one in found]), **_of(told))


def _of(told: list[Told]) -> dict[str, Any]:
    """Return what blocks tell of all samples together."""
    names = list(dict.fromkeys(name for one in told for name in one.shares))
    return {
        "shares": {name: sum(one.shares.get(name, 0.0) for one in told) for name in names},
        "orders": {n: o for one in told for n, o in one.orders.items()},
        "unfactored": {n: why for one in told for n, why in one.unfactored.items()},
        "agreement": max(one.agreement for one in told),
    }


def probe(subject: Subject, batch: Batch, combine: Tensor | None, *, room: float = inf) -> Sample:
    """Return what a sample takes.

    Raises:
        ResourceError: Not even one sample's factors fit.
    """
    return probed(subject, batch.head(PROBE), combine, room=room / 4)


def block_size(one: Sample, kind: Kind, room: int, held: float) -> int:
    """Return so many samples that all that is held at a time fits the room.

    Two blocks of factors and a tile take at most a quarter of it.

    Args:
        one: What a sample takes.
        kind: Of the kernel.
        room: Bytes for all.
        held: Bytes of the kernel and of the shares of layers.
    """

    def fit(size: int) -> bool:
        tile = 2 * kernel_bytes(size**2, one.outputs, kind)
        small = 2 * size * one.factors + tile <= room / 4
        most = held + size * (one.factors + one.captured) + tile
        return small and most <= room / SLACK - room / TILE

    size = 1
    while size < MOST and fit(2 * size):
        size *= 2
    return size


def _directions(combine: Tensor | None) -> object:
    return None if combine is None else combine.cpu().tolist()


def _digest(subject: Subject, batches: list[Batch]) -> str | None:
    """Return what tells samples from others, where tiles are remembered on disk."""
    if subject.memory.folder is None:
        return None
    digest = hashlib.sha256()
    for batch in batches:
        for path, tensor in batch.named_tensors():
            digest.update(f"{path} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def fits(pairs: int, outputs: int, kind: Kind, memory_bytes: int | None = None) -> bool:
    """Return whether the kernel of so many pairs of samples can be held."""
    room = memory_bytes or int(SHARE * free_bytes(torch.device("cpu")))
    return COPIES[kind] * kernel_bytes(pairs, outputs, kind) <= room


def require_room(pairs: int, outputs: int, kind: Kind, memory_bytes: int | None = None) -> None:
    """Refuse the kernel of so many pairs of samples where it cannot be held.

    Raises:
        ResourceError: It cannot.
    """
    room = memory_bytes or int(SHARE * free_bytes(torch.device("cpu")))
    needed = COPIES[kind] * kernel_bytes(pairs, outputs, kind)
    if needed > room:
        raise ResourceError(
            f"the kernel of {pairs:,} pairs of samples and {outputs:,} outputs does not fit",
            where="tangent kernel",
            why=f"to decompose it takes {needed / 2**30:.3g} GiB, and {room / 2**30:.3g} GiB are "
            "for it",
            hint="take fewer samples, the trace over the outputs, or --kind products",
        )
