"""Data order decides the basin early in training, and no longer after (Frankle et al. 2020).

One run is forked at step k, and two orders of the data finish it. Forked at the start the ends are
separated by a barrier; from some step on, hundreds before the last, they are linearly connected.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import torch
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

import landscape as ls
from landscape.training.fork import Recipe, Run, instability

arguments = argparse.ArgumentParser(description=__doc__)
arguments.add_argument("--quick", action="store_true", help="two forks, two pairs of orders")
arguments.add_argument("-o", "--output", type=Path, default=Path("instability.png"))
options = arguments.parse_args()

inputs, labels = (torch.tensor(part) for part in load_digits(return_X_y=True))
inputs, steps = inputs.float() / 16, 800


def start() -> Run:
    hidden = [part for _ in range(3) for part in (nn.Linear(64, 64), nn.ReLU())]
    model = nn.Sequential(*hidden, nn.Linear(64, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.15, momentum=0.9)
    falling = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, total_iters=steps)
    return Run(model=model, optimizer=optimizer, schedule=falling)


def loss(model: nn.Module, step: int, order: int) -> Tensor:
    generator = torch.Generator().manual_seed(order * steps + step)
    rows = torch.randint(len(inputs), (32,), generator=generator)
    return F.cross_entropy(model(inputs[rows]), labels[rows])


def barrier(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> ls.Estimate:
    ends = [ls.Checkpoint(label=name, tensors=one) for name, one in {"a": a, "b": b}.items()]
    subject = ls.Subject(start().model, "ce", [(inputs, labels)], ends)
    found = ls.Connect(path="line").run(subject).pairs[0].paths["line"].barrier
    return found.error or found.loss


at = (0, 400) if options.quick else (0, 25, 50, 100, 200, 300, 400)
orders = ((1, 2), (3, 4)) if options.quick else ((1, 2), (3, 4), (5, 6))
found = instability(Recipe(start=start, loss=loss, steps=steps), barrier, at=at, orders=orders)
for one in found.barriers:
    print(f"fork at {one.step}, orders {one.orders}: barrier in error {one.barrier:.2g}")
print(f"stable from step {found.onset(0.02)} on")
assert max(one.barrier.value for one in found.barriers if one.step == 0) > 0.02
assert found.onset(0.02) not in (None, 0)

axes = (figure := Figure(figsize=(6, 4), layout="constrained")).subplots()
for one in found.barriers:
    value, (low, high) = one.barrier.value, one.barrier.interval
    axes.errorbar(one.step, value, [[value - low], [high - value]], marker="o", color="C0")
axes.axhline(0.02, color="black", linewidth=0.8, linestyle="--")
axes.set(xlabel="step of the fork", ylabel="barrier in training error", ylim=(0, None))
figure.savefig(options.output, dpi=150)
print(f"figure: {options.output}")
