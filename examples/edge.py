"""What the examples 02 to 04 and 22 share: digits, network, loss, training, picture.

As in Cohen et al. 2021, the loss is half the squared distance from the one-hot label; and training
is by full batches, so that nothing but the curvature limits the steps, unless a size is said.
"""

import copy
from pathlib import Path
from typing import Any

import torch
from matplotlib.ticker import NullFormatter
from script import panels
from sklearn.datasets import load_digits
from torch import nn

import landscape as ls


def half_square(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:  # (b,)
    return 0.5 * (outputs - targets).square().sum(1)


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    inputs, labels = load_digits(return_X_y=True)
    inputs = (inputs - inputs[:1300].mean(0)) / (inputs[:1300].std(0) + 0.1)
    return torch.tensor(inputs[:1300], dtype=torch.float32), torch.eye(10)[labels[:1300]]


def trained(
    optimizer_of: Any, *, steps: int, every: int, seed: int = 0, batch: int | None = None
) -> ls.Subject:
    """Return a run with a checkpoint, optimizer state included, after every so many steps.

    Batches are drawn from the shuffled data without replacement; None is all of the data.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        hidden = [nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh()]
        model = nn.Sequential(*hidden, nn.Linear(32, 10))
    inputs, targets = digits()
    optimizer, saved = optimizer_of(model.parameters()), []
    generator, rows = torch.Generator().manual_seed(seed), []
    for step in range(1, steps + 1):
        if batch is not None and not rows:
            rows = [*torch.randperm(len(inputs), generator=generator).split(batch)]
        drawn = slice(None) if batch is None else rows.pop()
        optimizer.zero_grad()
        half_square(model(inputs[drawn]), targets[drawn]).mean().backward()
        optimizer.step()
        if step % every == 0:
            tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
            state = copy.deepcopy(optimizer.state_dict())
            one = ls.Checkpoint(label=f"step {step}", step=step, tensors=tensors, optimizer=state)
            saved.append(one)
    return ls.Subject(model, loss=half_square, data=[(inputs, targets)], checkpoints=saved)


def margins(answer: Any, *, last: float = 0.5) -> list[float]:
    """Return λ₁ over its threshold in the last part of a run, and print where it ended."""
    print(answer.series[-1].stability.sentence)
    kept = answer.series[-max(1, round(last * len(answer.series))) :]
    return [one.stability.margin.value for one in kept]


def draw(runs: dict[str, Any], threshold: str, path: Path) -> None:
    """Draw sharpness over threshold, with its interval, and the loss, against the step."""
    figure, (upper, lower) = panels(2, height=4.2, sharex=True, height_ratios=(2, 1))
    for label, series in runs.items():
        steps = [one.step for one in series]
        found = [one.stability.margin for one in series]
        (line,) = upper.plot(steps, [one.value for one in found], marker=".", label=label)
        low, high = zip(*(one.interval for one in found), strict=True)
        upper.fill_between(steps, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
        lower.semilogy(steps, [one.loss.value for one in series], marker=".")
    upper.axhline(1, color="black", linewidth=0.8, linestyle="--")
    upper.set(ylabel=f"sharpness / ({threshold})", ylim=(0, None))
    upper.legend(loc="lower right")
    lower.set(ylabel="training loss", xlabel="step")
    lower.yaxis.set_minor_formatter(NullFormatter())
    figure.savefig(path)
