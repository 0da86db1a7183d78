"""Small training runs, with and without a recorder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from landscape.recorder.history import History, history_of
from landscape.recorder.recorder import Recorder
from tests.cases import normal, seeded
from tests.oracles import generator


def mlp(depth: int = 3, width: int = 8, seed: int = 0) -> nn.Sequential:
    def build() -> nn.Sequential:
        layers: list[nn.Module] = []
        for place in range(depth):
            layers += [nn.Linear(5 if place == 0 else width, width), nn.Tanh()]
        return nn.Sequential(*layers, nn.Linear(width, 3))

    return seeded(build, seed)


def cnn() -> nn.Sequential:
    """BatchNorm, an in-place activation and dropout."""
    return seeded(
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(inplace=True),
            nn.Conv2d(4, 4, 3, padding=1, bias=False),
            nn.BatchNorm2d(4),
            nn.ReLU(inplace=True),
            nn.Dropout(0.3),
            nn.Flatten(),
            nn.Linear(4 * 36, 3),
        ),
        1,
    )


class Tied(nn.Module):
    """Attention between an embedding and itself, called by keyword, returning a mapping."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(7, 8)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
        self.unused = nn.Linear(2, 2)
        self.head = nn.Linear(8, 7, bias=False)
        self.head.weight = self.tokens.weight
        self.block.linear1.bias.requires_grad = False

    def forward(self, input_ids: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.head(self.block(self.tokens(input_ids)))
        return {"logits": logits, "loss": F.cross_entropy(logits.flatten(0, 1), labels.flatten())}


def tied() -> Tied:
    return seeded(Tied, 2)


def flat_loss(model: nn.Module, seed: int) -> Tensor:
    inputs = normal(16, 5, seed=seed)
    return F.cross_entropy(model(inputs), inputs[:, :3].argmax(1))


def image_loss(model: nn.Module, seed: int) -> Tensor:
    inputs = normal(8, 3, 6, 6, seed=seed)
    return F.cross_entropy(model(inputs), inputs.mean((2, 3)).argmax(1))


def token_loss(model: nn.Module, seed: int) -> Tensor:
    ids = torch.randint(7, (4, 5), generator=generator(seed))
    return model(input_ids=ids, labels=ids.roll(1, 1))["loss"]


LOSSES: dict[str, tuple[Callable[[], nn.Module], Callable[[nn.Module, int], Tensor]]] = {
    "mlp": (mlp, flat_loss),
    "cnn": (cnn, image_loss),
    "tied": (tied, token_loss),
}


@contextmanager
def numbers_from(seed: int) -> Iterator[None]:
    """Seed the global generator, as a user does, and put it back."""
    with torch.random.fork_rng(devices=()):
        torch.default_generator.manual_seed(seed)
        yield


def train(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: Callable[[nn.Module, int], Tensor],
    recorder: Recorder | None = None,
    *,
    steps: int = 12,
    passes: int = 1,
    clip: float | None = None,
) -> list[float]:
    """Train, and return the losses."""
    losses: list[float] = []
    for step in range(steps):
        optimizer.zero_grad()
        for number in range(passes):
            value = loss(model, 100 * step + number) / passes
            if recorder is not None:
                recorder.loss(value)
            value.backward()
            losses.append(float(value.detach()))
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
    return losses


def history(recorder: Recorder) -> History:
    return history_of(recorder.log())


def sgd(model: nn.Module, lr: float = 0.1, **settings: Any) -> torch.optim.SGD:
    return torch.optim.SGD(model.parameters(), lr=lr, **settings)


def recorded(tmp_path: Path, name: str = "mlp", **settings: Any) -> tuple[nn.Module, History]:
    """Train one of the networks under a recorder, and return what was recorded."""
    build, loss = LOSSES[name]
    model = build()
    optimizer = sgd(model)
    with Recorder(model, optimizer, log=tmp_path / "run.jsonl", quiet=True, **settings) as one:
        train(model, optimizer, loss, one)
    return model, history(one)
