"""Random directions as long as the weights: filter by filter, tensor by tensor, or as a whole."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from landscape.errors import ModelError
from landscape.linalg.products import norm
from landscape.subject.layout import VECTOR, WHOLE, Layout, layouts
from landscape.subject.network import Network
from landscape.subject.parameters import Block
from landscape.subject.point import Point

Normalise = Literal["filter", "layer", "none"]


def gaussian(network: Network, generator: torch.Generator) -> Tensor:  # (n,), on the CPU
    """Return a draw from N(0, I), float32.

    Whole tensors are drawn, in their order, whatever a mask keeps of them: networks of the same
    shapes get the same numbers.
    """
    drawn = {
        block.name: torch.randn(block.shape, generator=generator)
        for block in network.parameters.blocks
    }
    return network.parameters.flatten(drawn)


def like_weights(
    network: Network,
    point: Point,
    direction: Tensor,
    *,
    normalise: Normalise = "filter",
    biases: bool = False,
) -> Tensor:  # (n,)
    """Return a direction whose slices are as long as those of the weights at a point.

    With d and w the slices of one output unit, d ← d ‖w‖ / ‖d‖ (`filter`); the same for whole
    tensors (`layer`), or for the whole direction (`none`). Biases, scalars and parameters of
    normalisation layers do not move, unless they are asked for: each such tensor is then one slice.
    Coordinates that are held fixed by a mask do not count on either side.

    Args:
        network: Whose layers.
        point: Whose weights.
        direction: (n,).
        normalise: What is made as long as the weights.
        biases: Move them, and parameters of normalisation layers.

    Raises:
        ModelError: Nothing would move: all weights are zero, or there are only biases.

    Source: Li et al. 2018, arXiv 1712.09913, §4 and the appendix on batch normalisation. Differs
    from the source: the axis of the output units is that of the layer, not always the first.
    """
    theta, known = point.theta, layouts(network.model)
    direction = direction.to(theta)
    moved = torch.zeros_like(theta)
    for block in network.parameters.blocks:
        layout = known[block.name]
        if layout == VECTOR and not biases:
            continue
        part = slice(block.start, block.stop)
        moved[part] = _scaled(block, layout, direction[part], theta[part], normalise)
    if normalise == "none":
        weights = torch.where(moved != 0, theta, 0.0)
        moved = moved * (norm(weights) / (norm(moved) or 1.0))
    if not norm(moved):
        raise ModelError(
            "nothing would move in a random direction",
            where="surface",
            why="directions are as long as the weights, and these are zero, or there are only "
            "biases and normalisation parameters",
            hint="study other parameters (--params), or move biases too (--biases)",
        )
    return moved


def _scaled(
    block: Block, layout: Layout, direction: Tensor, weights: Tensor, normalise: Normalise
) -> Tensor:
    if normalise == "none":
        return direction
    if normalise == "layer" or layout.kind != "units":
        return WHOLE.like(direction, weights)
    if block.kept is None:
        shaped = (part.view(block.shape) for part in (direction, weights))
        return layout.like(*shaped).flatten()
    kept = block.kept.to(direction.device)
    spread = (_spread(block, kept, part) for part in (direction, weights))
    return layout.like(*spread).flatten()[kept]


def _spread(block: Block, kept: Tensor, values: Tensor) -> Tensor:
    """Return the studied coordinates in their tensor, zero elsewhere."""
    whole = values.new_zeros(block.shape).flatten()
    return whole.index_copy(0, kept, values).view(block.shape)
