"""What a layer's own weight has learnt: the change of its output at one and the same input."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
LINEAR = {one.forward: one for one in (nn.Linear, *CONVOLUTIONS, nn.Embedding)}


def is_weighted(module: nn.Module) -> bool:
    """Return whether a module is PyTorch's linear layer, convolution or embedding.

    Biases and gains do not count: they scale in another way than matrices, and would hide these.
    """
    return type(module).forward in LINEAR


def weight_of(module: nn.Module) -> Tensor:
    """Return the weight of such a module."""
    weight = module.weight
    if not isinstance(weight, Tensor):
        raise TypeError(f"{type(module).__name__} has no weight")
    return weight.detach()


@torch.no_grad()
def own_change(module: nn.Module, before: Tensor, given: Tensor) -> Tensor:
    """Return (W − W₀) z: what the change of a weight does to the output, at the input of now.

    Args:
        module: One with a weight W.
        before: W₀.
        given: z, the input.
    """
    change = weight_of(module) - before
    if isinstance(module, nn.Embedding):
        return F.embedding(given, change)
    if isinstance(module, CONVOLUTIONS):
        return module._conv_forward(given, change, None)  # pyright: ignore[reportPrivateUsage]
    return F.linear(given, change)
