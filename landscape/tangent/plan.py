"""What a tangent kernel would cost, layer by layer, before any of it is computed."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from landscape.linalg.memory import free_bytes
from landscape.subject.batch import Batch
from landscape.subject.subject import Subject
from landscape.tangent.blocks import block_of, probed
from landscape.tangent.contraction import cheapest, costs
from landscape.tangent.factors import Factors, Flat, Lookup
from landscape.tangent.kernel import PROBE, SHARE, block_size, kept_layers
from landscape.tangent.memory import TILE, Kind, Peak, kernel_bytes, peak
from landscape.tangent.tiles import itemsize, outputs_of


@dataclass(frozen=True, kw_only=True)
class LayerPlan:
    """How one parameter is contracted.

    Args:
        name: Of the parameter.
        order: Flat, gram or mixed.
        rows: T, uses of it in a sample: tokens or places.
        operations: Multiplications and additions for the whole kernel.
        against_flat: How many times fewer than from the Jacobian itself.
        peak_bytes: Beside factors and kernel, in one tile.
        factor_bytes: Of a sample.
        jacobian_bytes: Of a sample, were the Jacobian stored.
        unfactored: Whether it is.
    """

    name: str
    order: str
    rows: int
    operations: float
    against_flat: float
    peak_bytes: float
    factor_bytes: float
    jacobian_bytes: float
    unfactored: bool


@dataclass(frozen=True, kw_only=True)
class KernelPlan:
    """How a kernel would be computed.

    Args:
        layers: Parameter by parameter.
        outputs: O.
        block: Samples in a block.
        tiles: Pairs of blocks.
        kernel_bytes: Of the whole kernel in float64.
        agreement: Of the probe's Jacobians with autograd.
        memory: At the peak.
    """

    layers: tuple[LayerPlan, ...]
    outputs: int
    block: int
    tiles: int
    kernel_bytes: int
    agreement: float
    memory: Peak


def plan(
    subject: Subject,
    batch: Batch,
    *,
    samples: int,
    kind: Kind = "trace",
    combine: Tensor | None = None,
    memory_bytes: int | None = None,
) -> KernelPlan:
    """Return how the kernel of so many samples would be computed.

    Args:
        subject: In eval mode.
        batch: Of which the first samples are looked at.
        samples: N.
        kind: As for `kernel`.
        combine: Directions (O, R) that outputs are first combined in; None: none.
        memory_bytes: As for `kernel`.

    Cost: O + 2 passes over two samples.
    """
    subject.refuse_dependent("a tangent kernel")
    room = memory_bytes or int(SHARE * free_bytes(torch.device("cpu")))
    probe = block_of(subject, subject.point, batch.head(PROBE), combine=combine)
    each = probe.outputs.shape[1]
    one = probed(subject, batch.head(PROBE), combine, room=room / 4)
    one = replace(one, factors=max(one.factors, probe.nbytes / probe.samples))
    values = kernel_bytes(samples**2, each, kind)
    held = 4 * len(kept_layers(subject, samples, room)) * samples**2
    size = min(block_size(one, kind, room, values + held), samples)
    blocks = -(-samples // size)
    tiles = blocks * (blocks + 1) // 2
    layers = tuple(
        _layer(name, _widened(factors, size), kind, room // TILE, tiles, probe.unfactored)
        for name, factors in probe.factors.items()
    )
    return KernelPlan(
        layers=layers,
        outputs=each,
        block=size,
        tiles=tiles,
        kernel_bytes=values,
        agreement=probe.agreement,
        memory=peak(
            one,
            samples=samples,
            block=size,
            tile=max((layer.peak_bytes for layer in layers), default=0.0),
            held=held,
            kind=kind,
            room=room,
        ),
    )


def _layer(
    name: str, factors: Factors, kind: Kind, room: int, tiles: int, unfactored: Container[str]
) -> LayerPlan:
    outputs, itself = outputs_of(factors), itemsize(factors)
    offered = costs(factors, factors, outputs=outputs, traced=kind != "full")
    chosen = cheapest(offered, room=room / itself)
    samples = len(factors.j if isinstance(factors, Flat) else factors.d)
    flat = next(one for one in offered if one.order == "flat")
    return LayerPlan(
        name=name,
        order=chosen.order,
        rows=factors.rows,
        operations=tiles * chosen.operations,
        against_flat=flat.operations / max(chosen.operations, 1),
        peak_bytes=itself * chosen.numbers,
        factor_bytes=_numbers(factors) * itself / samples,
        jacobian_bytes=flat.numbers / 2 / samples * itself,
        unfactored=name in unfactored,
    )


def _widened(factors: Factors, samples: int) -> Factors:
    """Return factors in the shapes of a whole block, without their memory."""

    def of_all(tensor: Tensor) -> Tensor:
        return tensor[:1].expand(samples, *tensor.shape[1:])

    if isinstance(factors, Flat):
        return replace(factors, j=of_all(factors.j))
    if isinstance(factors, Lookup):
        return replace(factors, ids=of_all(factors.ids), d=of_all(factors.d))
    return replace(factors, x=of_all(factors.x), d=of_all(factors.d))


def _numbers(factors: Factors) -> int:
    if isinstance(factors, Flat):
        return factors.j.numel()
    return factors.d.numel() + (0 if isinstance(factors, Lookup) else factors.x.numel())
