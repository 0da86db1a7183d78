"""Networks, data and a training function that tickets are sought with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

import landscape as ls

SCRIPT = """
import os
import torch
from pathlib import Path
from sklearn.datasets import load_digits
from torch.nn import functional as F

images, labels = load_digits(return_X_y=True)
inputs, labels = torch.tensor(images[:600]).float() / 16, torch.tensor(labels[:600])


def train(model, *, seed, start, save, steps=40):
    order = torch.Generator().manual_seed(seed)
    batches = [torch.randint(600, (32,), generator=order) for _ in range(steps)]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for step in range(start, steps):
        save(step)
        optimizer.zero_grad()
        F.cross_entropy(model(inputs[batches[step]]), labels[batches[step]]).backward()
        optimizer.step()
    if "RUNS" in os.environ:
        log = Path(os.environ["RUNS"])
        log.write_text((log.read_text() if log.exists() else "") + "trained\\n")
"""


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def digits() -> tuple[Tensor, Tensor]:
    """Return the digits in the order of the study: permuted by seed 0, divided by 16."""
    images, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(labels), generator=drawn())
    return torch.tensor(images).float()[order] / 16, torch.tensor(labels)[order]


def built(make: Any, seed: int) -> Any:
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        return make()


def lenet() -> nn.Module:
    layers = [nn.Linear(64, 100), nn.ReLU(), nn.Linear(100, 50), nn.ReLU(), nn.Linear(50, 10)]
    return nn.Sequential(*layers)


def digits_subject(model: nn.Module, **more: Any) -> ls.Subject:
    """1,300 digits that train, 497 that judge."""
    x, y = digits()
    data = {"train": [(x[:1300], y[:1300])], "held_out": [(x[1300:], y[1300:])]}
    return ls.Subject(model, "ce", data, device="cpu", **more)


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 3))


def small_subject(model: nn.Module | None = None, **more: Any) -> ls.Subject:
    """Points of three classes, in two ragged batches, with others that judge."""
    centres = 2 * torch.randn(3, 6, generator=drawn(1))
    y = torch.arange(90) % 3
    x = centres[y] + torch.randn(90, 6, generator=drawn(2))
    data = {"train": [(x[:40], y[:40]), (x[40:63], y[40:63])], "held_out": [(x[63:], y[63:])]}
    return ls.Subject(model or built(small, 0), "ce", data, device="cpu", **more)


def script(folder: Path) -> str:
    """Write the training function and return its spec."""
    path = folder / "own.py"
    path.write_text(SCRIPT)
    return f"{path}:train"
