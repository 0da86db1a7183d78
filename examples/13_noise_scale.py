"""The gradient noise scale grows as training goes on, and two batch sizes tell it.

tr Σ / ‖g‖² of an MLP on digits (McCandlish 2018): from the gradient of every sample, by
`landscape gradients`, beside the unbiased estimate from batches of 16 and 256 as a run can have it.
"""

import argparse
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

import landscape as ls

arguments = argparse.ArgumentParser(description=__doc__)
arguments.add_argument("--quick", action="store_true", help="half as many batches")
arguments.add_argument("-o", "--output", type=Path, default=Path("noise_scale.png"))
options = arguments.parse_args()
repeats = 200 if options.quick else 400

inputs, labels = (torch.tensor(part[:1300]) for part in load_digits(return_X_y=True))
inputs, number = inputs.float() / 16, len(inputs)
generator = torch.Generator().manual_seed(0)
with torch.random.fork_rng():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def square(size: int) -> float:
    """Return ‖g‖² of a random batch."""
    rows = torch.randint(number, (size,), generator=generator)
    loss = F.cross_entropy(model(inputs[rows]), labels[rows])
    return float(sum(g.square().sum() for g in torch.autograd.grad(loss, [*model.parameters()])))


def two_batches(small: int = 16, big: int = 256) -> float:
    """Return S / |G|² with both parts unbiased: the ratio of means, not the mean of ratios."""
    less, more = (sum(square(size) for _ in range(repeats)) / repeats for size in (small, big))
    return (less - more) / (1 / small - 1 / big) / ((big * more - small * less) / (big - small))


optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
checkpoints, estimates = [], []
for step in range(401):
    if step in (0, 20, 100, 400):
        checkpoints.append(ls.Checkpoint.of_model(model, f"step {step}"))
        estimates.append(two_batches())
    rows = torch.randint(number, (32,), generator=generator)
    optimizer.zero_grad()
    F.cross_entropy(model(inputs[rows]), labels[rows]).backward()
    optimizer.step()

question = ls.Gradients(samples=number, jacobian=0, width=0)
answer = question.run(ls.Subject(model, "ce", [(inputs, labels)], checkpoints))
exact = []
for one, estimate in zip(answer.series, estimates, strict=True):
    assert one.per_sample
    plain = (one.per_sample.diversity.value - 1) * number / (number - 1)  # of these very samples
    exact.append(plain)
    print(f"{one.checkpoint}: tr Σ / ‖g‖² {plain:.1f}, two batch sizes {estimate:.1f}; "
          f"for other samples {one.noise_scale:.3g}")  # fmt: skip
    assert abs(estimate / plain - 1) < (0.3 if options.quick else 0.15)
assert exact[-1] > 2 * min(exact)
next(one for one in answer.pictures() if one.name == "series").figure().savefig(options.output)
print(f"figure: {options.output}")
