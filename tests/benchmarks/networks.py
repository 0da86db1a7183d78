"""The networks of the benchmarks: an MLP, residual networks and a GPT."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def mlp(*widths: int) -> nn.Module:
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Residual(nn.Module):
    """Two convolutions with BatchNorm and a skip connection (He et al. 2016)."""

    def __init__(self, fan_in: int, fan_out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(fan_in, fan_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(fan_out),
            nn.ReLU(),
            nn.Conv2d(fan_out, fan_out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(fan_out),
        )
        self.skip: nn.Module = nn.Identity()
        if stride > 1 or fan_in != fan_out:
            self.skip = nn.Sequential(
                nn.Conv2d(fan_in, fan_out, 1, stride, bias=False), nn.BatchNorm2d(fan_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.skip(x))


def resnet(widths: Sequence[int], depth: int, classes: int = 10) -> nn.Module:
    """Return a 3 × 3 stem of stride 1 and `depth` blocks per width, halving after the first."""
    stem = [nn.Conv2d(3, widths[0], 3, 1, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()]
    blocks: list[nn.Module] = []
    fan_in = widths[0]
    for i, width in enumerate(widths):
        for j in range(depth):
            blocks.append(Residual(fan_in, width, 2 if i and not j else 1))
            fan_in = width
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(fan_in, classes)]
    return nn.Sequential(*stem, *blocks, *head)


def digits_cnn(widths: tuple[int, int] = (32, 64)) -> nn.Module:
    stem = [nn.Conv2d(1, widths[0], 3, padding=1), nn.BatchNorm2d(widths[0]), nn.ReLU()]
    body = [nn.Conv2d(*widths, 3, padding=1), nn.BatchNorm2d(widths[1]), nn.ReLU()]
    head = [nn.Flatten(), nn.Linear(4 * widths[1], 10)]
    return nn.Sequential(*stem, nn.MaxPool2d(2), *body, nn.MaxPool2d(2), *head)


def strided_cnn(*widths: int, classes: int = 10) -> nn.Module:
    """Return 3 × 3 convolutions with BatchNorm, every other one of stride 2, and no pooling.

    Source: Springenberg, Dosovitskiy, Brox & Riedmiller 2015, arXiv 1412.6806.
    """
    layers: list[nn.Module] = []
    for place, (fan_in, fan_out) in enumerate(pairwise((1, *widths))):
        stride = 1 if place % 2 else 2
        layers += [nn.Conv2d(fan_in, fan_out, 3, stride, 1), nn.BatchNorm2d(fan_out), nn.ReLU()]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], classes)]
    return nn.Sequential(*layers, *head)


class Attention(nn.Module):
    """Causal self-attention by `scaled_dot_product_attention`."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.inward = nn.Linear(width, 3 * width)
        self.outward = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:  # (b, t, d)
        q, k, v = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for part in self.inward(x).chunk(3, dim=2)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.outward(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """A transformer block with LayerNorm first and GELU."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.before = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.between = nn.LayerNorm(width)
        self.body = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.before(x))
        return x + self.body(self.between(x))


class GPT(nn.Module):
    """A decoder whose output weights are its token embedding."""

    def __init__(self, *, layers: int, width: int, heads: int, vocabulary: int, length: int):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(length, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)))
        self.after = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.tokens.weight
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, tokens: Tensor) -> Tensor:  # (b, t) -> (b, t, vocabulary)
        places = torch.arange(tokens.shape[1], device=tokens.device)
        return self.head(self.after(self.blocks(self.tokens(tokens) + self.positions(places))))
