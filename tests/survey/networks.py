"""Small networks of different kinds, trained a little, for reports of one network."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

import landscape as ls

Loss = Callable[[Tensor, Tensor], Tensor]
SAMPLES, CLASSES = 96, 4


class Attention(nn.Module):
    """One block of self-attention over the rows of a small image."""

    def __init__(self) -> None:
        super().__init__()
        self.into = nn.Linear(8, 12)
        self.block = nn.TransformerEncoderLayer(12, 2, 24, dropout=0.0, batch_first=True)
        self.out = nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores (b, 4) of images (b, 1, 8, 8)."""
        return self.out(self.block(self.into(x[:, 0])).mean(1))


def perceptron() -> nn.Module:
    """Return a ReLU network on flat images."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, CLASSES))


def convolutional() -> nn.Module:
    """Return a convolutional network with BatchNorm."""
    first = nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2)
    return nn.Sequential(*first, nn.Conv2d(6, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 4))


NETWORKS = {"perceptron": perceptron, "convolutional": convolutional, "attention": Attention}


def images(seed: int) -> tuple[Tensor, Tensor]:
    """Return noisy images (b, 1, 8, 8) of four patterns, and which."""
    generator = torch.Generator().manual_seed(1000 + seed)
    patterns = torch.randn(CLASSES, 1, 8, 8, generator=generator)
    labels = torch.arange(SAMPLES) % CLASSES
    noise = torch.randn(SAMPLES, 1, 8, 8, generator=generator)
    return patterns[labels] + noise, labels


def trained(name: str, seed: int, steps: int = 30) -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    """Return a network after some steps of Adam, in eval mode, and its data."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = NETWORKS[name]()
    inputs, labels = images(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
    return model.eval(), (inputs, labels)


def subject(name: str, seed: int) -> ls.Subject:
    """Return a subject of a trained network."""
    model, data = trained(name, seed)
    return ls.Subject(model, "ce", [data], device="cpu", product="reverse")
