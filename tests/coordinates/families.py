"""Families of networks by width, their optimizers and data, as a user's file has them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer


def drawn(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def samples(count: int = 32, inputs: int = 16, classes: int = 4) -> list[tuple[Tensor, Tensor]]:
    x = torch.randn(count, inputs, generator=drawn(0))
    return [(x, x[:, :classes].argmax(1))]


def standard(width: int, inputs: int = 16, classes: int = 4) -> nn.Module:
    """He's initialisation everywhere: activations keep their size, updates by Adam do not."""
    net = nn.Sequential(
        nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
    ).append(nn.Linear(width, classes))
    for layer in (net[0], net[2], net[4]):
        nn.init.normal_(layer.weight, std=(2 / layer.in_features) ** 0.5)  # type: ignore[arg-type]
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return net


def maximal(width: int) -> nn.Module:
    """The same with an output that is zero at the start."""
    net = standard(width)
    nn.init.zeros_(net[4].weight)  # type: ignore[index]
    return net


def scaled(model: nn.Module, width: int, learning_rate: float = 0.01) -> Optimizer:
    """Adam with the rate of weights that have the width as fan-in divided by it."""
    wide = [model[2].weight, model[4].weight]  # type: ignore[index]
    rest = [one for one in model.parameters() if all(one is not other for other in wide)]
    rate = learning_rate * 32 / width
    return Adam([{"params": rest}, {"params": wide, "lr": rate}], lr=learning_rate)


def unscaled(width: int, depth: int = 3) -> nn.Module:
    """Linear layers whose weights have variance 1: layer k grows as width to the (k − 1)/2."""
    sizes = [16, *[width] * depth]
    layers = [nn.Linear(a, b, bias=False) for a, b in pairwise(sizes)]
    for layer in layers:
        nn.init.normal_(layer.weight)
    return nn.Sequential(*layers, nn.LayerNorm(width), nn.Linear(width, 4))


class Transformer(nn.Module):
    """A language model of one block, whose head is the token embedding; it returns a mapping."""

    def __init__(self, width: int, tokens: int = 11) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, width)
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.feed = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Dropout(0.1))
        self.back = nn.Linear(2 * width, width)
        self.head = nn.Linear(width, tokens, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        x = self.embedding(tokens)
        x = x + self.attention(x, x, x, key_padding_mask=mask)[0]
        return self.head(x + self.back(self.feed(self.norm(x))))


def sentences() -> list[dict[str, Any]]:
    tokens = torch.randint(11, (6, 9), generator=drawn(1))
    padding = torch.zeros(6, 9, dtype=torch.bool)
    padding[:, -2:] = True
    return [{"tokens": tokens, "mask": padding, "labels": tokens.roll(-1, 1)}]


def convolutional(width: int, *, inplace: bool = True) -> nn.Module:
    stem = [nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=inplace)]
    return nn.Sequential(*stem, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 3))


def images() -> list[tuple[Tensor, Tensor]]:
    x = torch.randn(12, 1, 6, 6, generator=drawn(2))
    return [(x[:7], torch.arange(7) % 3), (x[7:], torch.arange(5) % 3)]
