"""Real training runs to look at: small networks on real digits, from several seeds."""

from __future__ import annotations

import io
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from landscape import progress
from landscape.encode import write_atomically
from landscape.subject.spec.data import load_data
from landscape.subject.spec.models import load_model
from landscape.subject.undisturbed import seeded
from landscape.training.loop import minimise

EPOCHS = 12
BATCH = 64
SAVED = (0, 1, 3, EPOCHS)  # epochs after which a checkpoint is kept


@dataclass(frozen=True)
class Run:
    """One training run and the checkpoints that it left, in order."""

    network: str
    seed: int
    checkpoints: tuple[Path, ...]


def write_factories(folder: Path) -> Path:
    """Copy the factory file into a folder, so that its networks can be named in spec strings."""
    target = folder / "digits.py"
    shutil.copyfile(Path(__file__).with_name("digits.py"), target)
    return target


def train_run(factories: Path, network: str, seed: int, folder: Path) -> Run:
    """Train one network of the factory file with Adam, keeping checkpoints along the way.

    Args:
        factories: The factory file.
        network: Which factory of it.
        seed: Of initial weights and order of the data.
        folder: Where the checkpoints go.
    """
    folder.mkdir(parents=True, exist_ok=True)
    loader = load_data(f"{factories}:data").source
    if not isinstance(loader, DataLoader):
        raise TypeError("the demo's data are a DataLoader")
    inputs, labels = (torch.cat(parts) for parts in zip(*loader, strict=True))
    with seeded(seed):
        model = load_model(f"{factories}:{network}")
        order = _orders(len(inputs), seed)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        rate = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.02, total_iters=len(order))
        saved = [_save(model, optimizer, 0, folder)]

        def loss(step: int) -> Tensor:
            rows = order[step]
            return F.cross_entropy(model(inputs[rows]), labels[rows])

        steps = len(order) // EPOCHS

        with progress.task(f"training {network}, seed {seed}", len(order)) as task:

            def after(step: int) -> None:
                task.advance()
                rate.step()
                if step % steps == 0 and step // steps in SAVED:
                    saved.append(_save(model, optimizer, step // steps, folder))

            minimise(loss, optimizer, steps=len(order), after=after)
    return Run(network, seed, tuple(saved))


def _orders(samples: int, seed: int) -> list[Tensor]:
    """Return the rows of every minibatch of the whole run; what is left of an epoch is dropped."""
    generator = torch.Generator().manual_seed(seed)
    epochs = [torch.randperm(samples, generator=generator) for _ in range(EPOCHS)]
    whole = samples - samples % BATCH
    return [rows for epoch in epochs for rows in epoch[:whole].split(BATCH)]


def _save(model: nn.Module, optimizer: torch.optim.Optimizer, epoch: int, folder: Path) -> Path:
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}
    buffer = io.BytesIO()
    torch.save(state, buffer)
    path = folder / f"epoch{epoch:02d}.pt"
    write_atomically(path, buffer.getvalue())
    return path
