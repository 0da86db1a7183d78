"""Independent runs on digits, by the recipes of Garipov 2018, Ainsworth 2023 and Jordan 2022."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

from landscape.connectivity.result import Pair
from landscape.diagnostics.connect import Connect
from landscape.subject.files.checkpoint import Checkpoint
from landscape.subject.subject import Subject

TRAIN = 1300


def digits() -> tuple[Tensor, Tensor]:
    inputs, labels = (torch.tensor(part) for part in load_digits(return_X_y=True))
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(0))
    return inputs.float().view(-1, 1, 8, 8)[order] / 16, labels[order]


def mlp() -> nn.Module:
    layers = [nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)]
    return nn.Sequential(nn.Flatten(), *layers)


def cnn() -> nn.Module:
    first = [nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)]
    last = [nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU()]
    return nn.Sequential(*first, *last, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def trained(network: Callable[[], nn.Module], seed: int, steps: int) -> Checkpoint:
    inputs, labels = digits()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = network().train()
    order = torch.Generator().manual_seed(seed + 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(steps):
        rows = torch.randint(TRAIN, (32,), generator=order)
        optimizer.zero_grad()
        F.cross_entropy(model(inputs[rows]), labels[rows]).backward()
        optimizer.step()
    return Checkpoint.of_model(model, f"seed {seed}")


def judged(network: Callable[[], nn.Module], steps: int, **settings: Any) -> Pair:
    inputs, labels = digits()
    ends = [trained(network, seed, steps) for seed in range(2)]
    data = [(inputs[:TRAIN], labels[:TRAIN])]
    question = Connect(every=True, curve_steps=600, curve_learning_rate=5e-3, **settings)
    return question.run(Subject(network(), "ce", data, ends, device="cpu")).pairs[0]


def barrier(pair: Pair, name: str) -> float:
    return pair.paths[name].barrier.loss.value


def test_two_mlps():
    """A barrier on the line; none on a curve; a tenth of it at most once units are aligned."""
    pair = judged(mlp, 800)
    assert barrier(pair, "line") > 0.2
    assert barrier(pair, "curve") < 0.05
    assert barrier(pair, "aligned") < 0.1 * barrier(pair, "line")
    assert (pair.verdict, pair.paths["line"].verdict) == ("connected", "barrier")


@pytest.mark.full
def test_two_cnns():
    """Raw, aligned and repaired are told; repaired is a third of raw at most."""
    pair = judged(cnn, 400, repair=True)
    assert {"line", "aligned", "repaired"} <= set(pair.paths)
    assert barrier(pair, "line") > 0.2
    assert barrier(pair, "aligned") < 0.3 * barrier(pair, "line")
    assert barrier(pair, "repaired") < 0.3 * barrier(pair, "line")
    stale = pair.paths["line"].stale
    assert stale is not None
