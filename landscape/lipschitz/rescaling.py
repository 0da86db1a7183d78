"""A product of norms, tightened by scaling channels between layers, which is free."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from landscape.lipschitz.pieces import Convolve, Matrix

FLOOR = 1e-6  # of a channel's scale, relative to the largest: silent channels weigh nothing
GAIN = 0.999  # a rescaled product must be smaller than that share of the plain one

Layer = Convolve | Matrix


def rescaled_product(layers: Sequence[Layer]) -> float:
    """Return the smaller of ∏ ‖W_l‖ and ∏ ‖D_l⁻¹ W_l D_{l−1}‖, with D₀ and the last D one.

    φ(z) = D (D⁻¹ φ(D ·))(D⁻¹ z), and D⁻¹ φ(D ·) has the slopes of φ, for every diagonal D > 0 and
    every elementwise φ; max-pooling commutes with positive scalings of channels. So both products
    bound the network between the layers from above, whatever D; here it balances the length of what
    enters every channel against that of what leaves it, D² = ‖row of W_l‖ / ‖column of W_{l+1}‖.

    Args:
        layers: From the input on; outgoing channels of one are the incoming ones of the next.

    Cost: that of the norms of one of both, whichever is likely the smaller.

    Source: Kuang, Xu et al. 2026, arXiv 2603.28113, for the freedom; van der Sluis 1969 for the
    balance of rows and columns.
    """
    scales = []
    for before, after in pairwise(layers):
        leaving, entering = _lengths(before, leaving=True), _lengths(after, leaving=False)
        if leaving.shape != entering.shape:
            return _product(layers)
        scales.append(_balance(leaving, entering))
    scaled = []
    for place, layer in enumerate(layers):
        one = layer
        if place > 0:
            one = _scaled(one, scales[place - 1], leaving=False)
        if place < len(scales):
            one = _scaled(one, 1 / scales[place], leaving=True)
        scaled.append(one)
    smaller = _estimate(scaled) < GAIN * _estimate(layers)
    return _product(scaled if smaller else layers)


def _product(layers: Sequence[Layer]) -> float:
    return math.prod(layer.norm for layer in layers)


def _estimate(layers: Sequence[Layer]) -> float:
    return math.prod(layer.estimate() for layer in layers)


def _balance(leaving: Tensor, entering: Tensor) -> Tensor:
    floor = FLOOR * max(float(leaving.max()), 1e-300)
    other = FLOOR * max(float(entering.max()), 1e-300)
    return (leaving.clamp_min(floor) / entering.clamp_min(other)).sqrt()


def _lengths(layer: Layer, *, leaving: bool) -> Tensor:
    """Return the norm of the weights of each outgoing or incoming channel (c,)."""
    if isinstance(layer, Matrix):
        return torch.linalg.vector_norm(layer.weight.double(), dim=1 if leaving else 0)
    weight, groups = layer.convolution.weight.double(), layer.convolution.groups
    if leaving != layer.transposed:
        return torch.linalg.vector_norm(weight.flatten(1), dim=1)
    split = weight.reshape(groups, -1, weight.shape[1], *weight.shape[2:]).transpose(1, 2)
    return torch.linalg.vector_norm(split.flatten(2), dim=2).reshape(-1)


def _scaled(layer: Layer, factors: Tensor, *, leaving: bool) -> Layer:
    if isinstance(layer, Matrix):
        weight = layer.weight * (factors[:, None] if leaving else factors)
        return Matrix(weight, layer.entering)
    return layer.scaled(factors, leaving=leaving)
