"""Networks that map sequences of vectors, and mappings of several inputs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.cases import Attention, Multihead


class Mixer(nn.Module):
    """A transformer's block on embedded tokens, with a mask that is no vector."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads=2)
        self.mlp = nn.Sequential(nn.Linear(width, 8), nn.GELU(), nn.Linear(8, width))
        self.head = nn.Linear(width, 3)

    def forward(self, embeds: Tensor, mask: Tensor, scale: Tensor) -> Tensor:
        length = embeds.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=embeds.device).tril()
        x = embeds + self.attention(self.norm(embeds), causal & mask[:, None, None, :].bool())
        return self.head((x + self.mlp(x)).mean(1) * scale[:, None])


class Encoder(nn.Module):
    """`nn.TransformerEncoderLayer`, which has a fused path without derivatives."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = Multihead().layer
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x).mean(1))
