"""Small problems whose barriers are known, or that training makes in a second."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

from landscape.subject.files.checkpoint import Checkpoint
from landscape.subject.point import Point
from landscape.subject.subject import Subject
from tests.cases import seeded
from tests.oracles import generator


def pair(
    models: Sequence[nn.Module], loss: Any, data: Any, **settings: Any
) -> tuple[Subject, Point, Point]:
    """A subject with the weights of two networks as checkpoints, and their points."""
    checkpoints = [Checkpoint.of_model(model) for model in models]
    subject = Subject(models[0], loss, data, checkpoints, device="cpu", **settings)
    a, b = (subject.point_of(one) for one in subject.checkpoints)
    return subject, a, b


@cache
def digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Inputs and labels, three quarters to train on and the rest held out."""
    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images, dtype=torch.float32) / 16, torch.tensor(labels)
    order = torch.randperm(len(x), generator=generator(0))
    kept, rest = order[:1347], order[1347:]
    return x[kept], y[kept], x[rest], y[rest]


def digits_data() -> dict[str, Any]:
    x, y, held_x, held_y = digits()
    batches = list(zip(x.split(256), y.split(256), strict=True))
    return {"train": batches, "held_out": [(held_x, held_y)]}


def mlp() -> nn.Module:
    hidden = [nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()]
    return nn.Sequential(*hidden, nn.Linear(64, 10))


def cnn() -> nn.Module:
    stem = [nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16)]
    body = [nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32)]
    return nn.Sequential(*stem, *body, nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 10))


@cache
def trained(build: Callable[[], nn.Module], init: int, order: int, steps: int = 800) -> nn.Module:
    """A network trained on the digits: SGD, learning rate 0.1, momentum 0.9, batches of 32."""
    model, (x, y, _, _) = seeded(build, init), digits()
    draws = generator(order)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(steps):
        rows = torch.randint(len(x), (32,), generator=draws)
        optimizer.zero_grad()
        F.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()
    return model.eval()
