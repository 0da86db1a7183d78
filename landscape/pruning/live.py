"""What a mask leaves of a network: empty layers, dead units, and paths from input to output."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from landscape.errors import LandscapeError, ModelError, out_of_memory
from landscape.pruning.flow import Flow, flow
from landscape.pruning.layers import LayerLife
from landscape.pruning.mask import Mask
from landscape.subject.subject import Subject
from landscape.subject.trial import Trial

SHAPE = "give --data, or --data random:shape=…,classes=…"


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
        return sum(one.live or 0 for one in self.layers) / sum(one.size for one in self.layers)

    @property
    def connected(self) -> bool:
        """Return whether any path is left."""
        return self.paths > 0


def life(subject: Subject, mask: Mask) -> Life:
    """Return what a mask leaves. Cost: two forward and backward passes of two samples.

    A weight is on a path if the flow through it is above zero in the network whose weights are the
    mask itself; units that only biases feed do not count.

    Raises:
        ModelError: Paths cannot be followed through the network.

    Source: effective sparsity, Vysogorets & Kempe 2021, arXiv 2107.02306.
    """
    names, model = tuple(mask.kept), subject.network.model
    tensors = subject.network.tensors(subject.point)
    ones = {name: torch.ones_like(t) if name in mask.kept else t for name, t in tensors.items()}
    dense, left = (_flow(subject, one, names) for one in (ones, mask.applied(ones)))
    return Life(
        layers=tuple(
            LayerLife.of(model, name, kept, int((left.through[name] > 0).sum()))
            for name, kept in mask.kept.items()
        ),
        paths=_counted(left),
        of_dense=_counted(dense),
    )


def lived(subject: Subject, mask: Mask) -> tuple[Life | None, str]:
    """Return what a mask leaves, and why paths cannot be told, where they cannot.

    Without data the inputs are found by trial, and a note of the subject says so; where several
    shapes fit, none is taken, since what is on a path depends on it.
    """
    try:
        subject.point_of(subject.checkpoint)  # where it is not finite, no inputs fit either
        if subject.batches is not None:
            left = life(subject, mask)
        elif isinstance(trial := subject.trial, Trial) and trial.others:
            two = " and ".join("×".join(map(str, one)) for one in (trial.shape, trial.others[0]))
            return None, f"inputs of several shapes fit, {two} for two; {SHAPE}"
        else:
            left = life(subject.tried(), mask)
    except LandscapeError as error:  # no data, or no rule for what the network does
        return None, error.what
    countable = math.isfinite(left.of_dense)
    return left, "" if countable else "there are more of them than float64 can count"


def _counted(found: Flow) -> float:
    """Return the number of paths that a flow is; where layers were scaled it is none."""
    return math.inf if found.scaled and found.total > 0 else found.total


def _flow(subject: Subject, tensors: Mapping[str, Tensor], names: tuple[str, ...]) -> Flow:
    try:
        return flow(subject, tensors, names, followed=True)
    except LandscapeError:
        raise
    except Exception as error:  # the network's own code may fail in any way, as in its backward
        if out_of_memory(error) is not None:
            raise
        text = str(error).strip().split("\n")[0]
        raise ModelError(
            text or type(error).__name__,
            where="paths",
            why="they are told by a backward pass through the network with other weights",
            hint="densities and dead units are told all the same",
        ) from error
