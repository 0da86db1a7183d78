"""What a mask leaves of the layers of a network: as numbers, as a table and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from torch import Tensor, nn

from landscape.answer import Table
from landscape.figures.tickets import DensityInk
from landscape.pruning.dead import dead_units, layer_of


@dataclass(frozen=True, kw_only=True)
class LayerLife:
    """What is left of one tensor.

    Args:
        name: Of the tensor.
        size: Weights.
        kept: By the mask.
        live: Kept and on a path from input to output; None where paths cannot be followed.
        dead_outputs: That nothing kept feeds.
        dead_inputs: That nothing kept reads.
    """

    name: str
    size: int
    kept: int
    live: int | None
    dead_outputs: int
    dead_inputs: int

    @classmethod
    def of(
        cls, model: nn.Module | None, name: str, kept: Tensor, live: int | None, **more: float
    ) -> Self:
        """Return what a mask leaves of a tensor; without a model, as of a layer of one group."""
        outputs, inputs = dead_units(kept, None if model is None else layer_of(model, name))
        return cls(
            name=name,
            size=kept.numel(),
            kept=int(kept.sum()),
            live=live,
            dead_outputs=outputs,
            dead_inputs=inputs,
            **more,
        )


def layers_table(title: str, layers: Sequence[LayerLife]) -> Table:
    """Return one row per layer."""
    rows = tuple(
        (
            one.name,
            one.size,
            one.kept,
            100 * one.kept / one.size,
            one.live,
            one.dead_inputs,
            one.dead_outputs,
        )
        for one in layers
    )
    columns = ("layer", "weights", "kept", "density, %", "on a path", "dead inputs")
    return Table(title, (*columns, "dead outputs"), rows)


def density_ink(layers: Sequence[LayerLife]) -> DensityInk:
    """Return what is drawn of the layers."""
    live = [one.live for one in layers if one.live is not None]
    return DensityInk(
        names=tuple(one.name for one in layers),
        sizes=np.array([one.size for one in layers]),
        kept=np.array([one.kept for one in layers]),
        live=np.array(live) if len(live) == len(layers) else None,
    )
