"""Chains for the tests of certified bounds, and their LMI written down densely."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from landscape.lipschitz.chain import Chain
from tests.lipschitz.exact import Relu

RELU = (0.0, 1.0)
GELU = (-0.1290, 1.1290)
ABSOLUTE = (-1.0, 1.0)
LEAKY = (0.1, 1.0)
TANH = (0.0, 1.0)


def chain_of(net: Relu, slopes: tuple[float, float] = RELU) -> Chain:
    return Chain(weights=net.weights, slopes=(slopes,) * (len(net.weights) - 1))


def lmi(chain: Chain, multipliers: Sequence[np.ndarray], square: float) -> np.ndarray:
    """ρ |v_0|² − |W_L v_{L−1}|² + Σ λ (v − α z)(v − β z) as a matrix in (v_0, …, v_{L−1}).

    It is positive semi-definite where the multipliers prove √ρ; Fazlyab 2019, theorem 2.
    """
    sizes = chain.widths[:-1]
    ends = np.cumsum((0, *sizes))
    picks = [np.eye(ends[-1])[a:b] for a, b in pairwise(ends)]
    found = square * picks[0].T @ picks[0]
    for layer, multiplier in enumerate(multipliers):
        v, z = picks[layer + 1], chain.weights[layer] @ picks[layer]
        low = v - chain.alphas[layer][:, None] * z
        high = v - chain.betas[layer][:, None] * z
        term = low.T @ (multiplier[:, None] * high)
        found += (term + term.T) / 2
    last = chain.weights[-1] @ picks[-1]
    return found - last.T @ last


def module_of(net: Relu) -> nn.Sequential:
    layers: list[nn.Module] = []
    for weight, bias in zip(net.weights, net.biases, strict=True):
        layer = nn.Linear(*weight.T.shape, dtype=torch.float64)
        layer.weight.data = torch.from_numpy(weight.copy())
        layer.bias.data = torch.from_numpy(bias.copy())
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])
