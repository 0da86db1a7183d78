"""How much memory a kernel takes at its peak, foretold from one sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["full", "trace", "classes"]

COPIES = {"full": 6, "trace": 6, "classes": 3}  # of the kernel in float64, decomposed and read
TILE = 8  # a contraction takes at most one part of so many of the room, where an order fits
SLACK = 1.2  # what an allocator keeps beside what is asked of it
IN_FLIGHT = 2  # derivatives of the largest layer held by a backward pass beside those that stay


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What one sample takes.

    Args:
        outputs: O.
        factors: Bytes that stay.
        slopes: Bytes of the derivatives of every output in what the layers give.
        largest: Of those, in one layer.
    """

    outputs: int
    factors: float
    slopes: float
    largest: float

    @property
    def captured(self) -> float:
        """Return the bytes while factors are caught, what stays included."""
        return self.slopes + self.factors + IN_FLIGHT * self.largest


@dataclass(frozen=True, kw_only=True)
class Peak:
    """Bytes beside what the process takes already, foretold.

    Args:
        factors: Of all blocks that are kept.
        caught: While the factors of one block are caught.
        tile: While one parameter of a tile is contracted.
        kernel: In float64, with the shares of the layers.
        decomposed: While the kernel is decomposed and read, the kernel included.
        total: The most of them at a time, with what an allocator keeps beside.
    """

    factors: float
    caught: float
    tile: float
    kernel: float
    decomposed: float
    total: float


def peak(
    sample: Sample, *, samples: int, block: int, tile: float, held: float, kind: Kind, room: float
) -> Peak:
    """Return the peak of a kernel.

    Args:
        sample: What one takes.
        samples: N.
        block: Samples in a block.
        tile: Bytes of the contraction that takes most.
        held: Bytes of the shares of the layers.
        kind: Of the kernel.
        room: Bytes for all.
    """
    blocks = -(-samples // block)
    values = kernel_bytes(samples**2, sample.outputs, kind)
    caught = sample.captured * block
    within = max(kept_room(sample, block, values + held, room), 2 * sample.factors * block)
    factors = min(sample.factors * samples, within)
    other = min(sample.factors * block * (blocks - 1), factors)
    buffers = 2 * kernel_bytes(block**2, sample.outputs, kind)
    tiled = values + held + max(other + caught, factors + tile + buffers)
    decomposed = COPIES[kind] * values + held
    return Peak(
        factors=factors,
        caught=caught,
        tile=tile + buffers,
        kernel=values + held,
        decomposed=decomposed,
        total=SLACK * max(tiled, decomposed),
    )


def kept_room(sample: Sample, block: int, held: float, room: float) -> float:
    """Return the bytes that are left for the factors of blocks."""
    return min(room / 2, room / SLACK - room / TILE - held - sample.captured * block)


def kernel_bytes(pairs: int, outputs: int, kind: Kind) -> int:
    """Return the bytes of the kernel of so many pairs of samples, in float64."""
    return 8 * pairs * {"full": outputs**2, "classes": outputs, "trace": 1}[kind]
