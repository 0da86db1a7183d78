"""What a mask leaves of a network: empty layers, dead units, and paths from input to output."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from landscape.errors import InputError, NumericalError, SettingError
from landscape.pruning.flow import Flow, flow
from landscape.pruning.mask import Mask
from landscape.subject.subject import Subject


@dataclass(frozen=True, kw_only=True)
class LayerLife:
    """What is left of one tensor.

    Args:
        name: Of the tensor.
        size: Weights.
        kept: By the mask.
        live: Kept and on a path from input to output.
        dead_outputs: Rows of the first axis that keep nothing.
        dead_inputs: Columns of the second axis that keep nothing.
    """

    name: str
    size: int
    kept: int
    live: int
    dead_outputs: int
    dead_inputs: int


@dataclass(frozen=True, kw_only=True)
class Life:
    """What is left of a network.

    Args:
        layers: In the order of the network.
        paths: From inputs to outputs, over all places of a convolution; weighted by the scales of
            normalisation and the means of pooling, where there are any. Infinite where there are
            more than float64 can count.
        of_dense: The same of the dense network.
    """

    layers: tuple[LayerLife, ...]
    paths: float
    of_dense: float

    @property
    def empty(self) -> tuple[str, ...]:
        """Return the tensors that keep nothing."""
        return tuple(one.name for one in self.layers if one.kept == 0)

    @property
    def effective_density(self) -> float:
        """Return the share of all weights that is kept and on a path."""
        return sum(one.live for one in self.layers) / sum(one.size for one in self.layers)

    @property
    def connected(self) -> bool:
        """Return whether any path is left."""
        return self.paths > 0


def life(subject: Subject, mask: Mask) -> Life:
    """Return what a mask leaves. Cost: two forward and backward passes of two samples.

    A weight is on a path if the flow through it is above zero in the network whose weights are the
    mask itself; units that only biases feed do not count.

    Source: effective sparsity, Vysogorets & Kempe 2021, arXiv 2107.02306.
    """
    names = tuple(mask.kept)
    tensors = subject.network.tensors(subject.point)
    ones = {name: torch.ones_like(t) if name in mask.kept else t for name, t in tensors.items()}
    dense = flow(subject, ones, names)
    left = flow(subject, mask.applied(ones), names)
    return Life(
        layers=tuple(_layer(name, mask.kept[name], left.through[name]) for name in names),
        paths=_counted(left),
        of_dense=_counted(dense),
    )


def lived(subject: Subject, mask: Mask) -> tuple[Life | None, str]:
    """Return what a mask leaves, and why paths cannot be told, where they cannot.

    Without data the inputs are found by trial; a note of the subject says so.
    """
    try:
        left = life(subject if subject.batches is not None else subject.tried(), mask)
    except (
        InputError,
        NumericalError,
        SettingError,
    ) as error:  # the flow has no rule for what the network does
        return None, error.what
    countable = math.isfinite(left.of_dense)
    return left, "" if countable else "there are more of them than float64 can count"


def _counted(found: Flow) -> float:
    """Return the number of paths that a flow is; where layers were scaled it is none."""
    return math.inf if found.scaled and found.total > 0 else found.total


def _layer(name: str, kept: Tensor, through: Tensor) -> LayerLife:
    rows = kept.flatten(1).any(1)
    columns = kept.movedim(1, 0).flatten(1).any(1)
    return LayerLife(
        name=name,
        size=kept.numel(),
        kept=int(kept.sum()),
        live=int((through > 0).sum()),
        dead_outputs=int((~rows).sum()),
        dead_inputs=int((~columns).sum()),
    )
