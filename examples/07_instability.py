"""Data order decides the basin early in training, and no longer after (Frankle et al. 2020).

One run is forked at step k, and two orders of the data finish it. Forked at the start the ends are
separated by a barrier; from some step on, hundreds before the last, they are linearly connected.
"""

from collections.abc import Mapping

import numpy as np
import torch
from script import arguments, panels
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

import landscape as ls
from landscape.training.fork import Recipe, Run, instability

options = arguments(__doc__, "instability.png", quick="two forks, two pairs of orders")

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
recipe = Recipe(start=start, loss=loss, steps=steps)
found = instability(recipe, barrier, at=at, orders=orders, seed=options.seed)
for one in found.barriers:
    print(f"fork at {one.step}, orders {one.orders}: barrier in error {one.barrier:.2g}")
print(f"stable from step {found.onset(0.02)} on")
assert max(one.barrier.value for one in found.barriers if one.step == 0) > 0.02
assert found.onset(0.02) not in (None, 0)

figure, axes = panels()
for number, pair in enumerate(orders):
    kept = [one for one in found.barriers if one.orders == pair]
    places = [one.step + 6 * number for one in kept]  # beside one another
    values = [one.barrier.value for one in kept]
    assert values[-1] < values[0]
    low, high = zip(*(one.barrier.interval for one in kept), strict=True)
    doubt = np.abs(np.array([low, high]) - values)
    axes.errorbar(places, values, doubt, fmt="o", label=f"orders {pair[0]} and {pair[1]}")
axes.axhline(0.02, color="black", linewidth=0.8, linestyle="--")
axes.set(xlabel="step of the fork", ylabel="barrier in training error", ylim=(0, None))
axes.legend()
figure.savefig(options.output)
print(f"figure: {options.output}")
