"""The curvature of a loss in its outputs: Hessians in closed form, and Fisher matrices.

Each function returns a linear map of blocks of output directions (k, *outputs). The matrices are
those of the *summed* loss of a batch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.func import grad, vjp, vmap

from landscape.operators.local import Bend, Rows
from landscape.subject.losses import (
    IGNORED,
    BinaryCrossEntropy,
    CrossEntropy,
    Loss,
    MeanSquaredError,
)
from landscape.subject.outputs import class_axis


def hessian_bend(loss: Loss, targets: Tensor) -> Bend:
    """Return ∇²ℓ: closed for `ce`, `mse` and `bce`, by differentiating twice for others.

    Source: Martens 2014, arXiv 1412.1193, §8 (the closed forms).
    """
    if isinstance(loss, CrossEntropy):
        return lambda outputs: _softmax_map(outputs, targets)
    if isinstance(loss, MeanSquaredError):
        return _square_map
    if isinstance(loss, BinaryCrossEntropy):
        return _sigmoid_map
    return lambda outputs: _generic_map(loss, outputs, targets)


def outer_bend(loss: Loss, drawn: list[Tensor]) -> Bend:
    """Return the mean over drawn targets of Σ g gᵀ, g the gradient of one sample's loss.

    A sample of `ce` on sequences is a token; of other losses a row of the batch.
    """

    def bend(outputs: Tensor) -> Rows:
        axes = _sample_axes(loss, outputs, drawn[0])
        slopes = [grad(lambda z, t=targets: loss.total(z, t))(outputs) for targets in drawn]

        def products(rows: Tensor) -> Tensor:
            total = torch.zeros_like(rows)
            for slope in slopes:
                along = slope * rows
                total = total + slope * (along.sum(axes, keepdim=True) if axes else along)
            return total / len(slopes)

        return products

    return bend


def _softmax_map(outputs: Tensor, targets: Tensor) -> Rows:
    axis = class_axis(outputs, targets)
    shares = outputs.softmax(axis)
    if targets.is_floating_point():
        weight = targets.to(outputs.dtype).sum(axis, keepdim=True)
    else:
        weight = (targets != IGNORED).unsqueeze(axis).to(outputs.dtype)
    after = axis - outputs.dim()  # counted from the end, for blocks

    def products(rows: Tensor) -> Tensor:
        scaled = shares * rows
        return weight * (scaled - shares * scaled.sum(after, keepdim=True))

    return products


def _square_map(outputs: Tensor) -> Rows:
    del outputs
    return lambda rows: 2 * rows


def _sigmoid_map(outputs: Tensor) -> Rows:
    share = outputs.sigmoid()
    return lambda rows: share * (1 - share) * rows


def _generic_map(loss: Loss, outputs: Tensor, targets: Tensor) -> Rows:
    pulling: Any = vjp(grad(lambda z: loss.total(z, targets)), outputs)
    return lambda rows: vmap(lambda row: pulling[1](row)[0])(rows)


def _sample_axes(loss: Loss, outputs: Tensor, targets: Tensor) -> tuple[int, ...]:
    """Return the axes of one sample's outputs, counted from the end."""
    if isinstance(loss, CrossEntropy):
        return (class_axis(outputs, targets) - outputs.dim(),)
    return tuple(range(1 - outputs.dim(), 0))
