"""The gradient noise scale grows as training goes on, and two batch sizes tell it.

tr Σ / ‖g‖² of an MLP on digits (McCandlish 2018): from the gradient of every sample, by
`landscape gradients`, beside the unbiased estimate from batches of 16 and 256 as a run can have it,
which is sharp as long as the larger batch is not drowned in the noise.
"""

import numpy as np
import torch
from script import arguments, panels
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

import landscape as ls

options = arguments(__doc__, "noise_scale.png", quick="half as many batches")
repeats = 200 if options.quick else 1000

inputs, labels = (torch.tensor(part[:1300]) for part in load_digits(return_X_y=True))
inputs, number = inputs.float() / 16, len(inputs)
generator = torch.Generator().manual_seed(options.seed)
with torch.random.fork_rng():
    torch.manual_seed(options.seed)
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def square(size: int) -> float:
    """Return ‖g‖² of a random batch."""
    rows = torch.randint(number, (size,), generator=generator)
    loss = F.cross_entropy(model(inputs[rows]), labels[rows])
    return float(sum(g.square().sum() for g in torch.autograd.grad(loss, [*model.parameters()])))


def two_batches(small: int = 16, big: int = 256) -> tuple[float, float]:
    """Return S / |G|², both without bias, as a ratio of means; and its standard error."""
    less, more = (np.array([square(size) for _ in range(repeats)]) for size in (small, big))
    above = (less - more) / (1 / small - 1 / big)
    below = (big * more - small * less) / (big - small)
    ratio = above.mean() / below.mean()
    return ratio, (above - ratio * below).std() / abs(below.mean()) / repeats**0.5


optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
checkpoints, estimates, kept = [], [], (0, 20, 100, 200, 300, 400)
for step in range(401):
    if step in kept:
        checkpoints.append(ls.Checkpoint.of_model(model, f"step {step}"))
        estimates.append(two_batches())
    rows = torch.randint(number, (32,), generator=generator)
    optimizer.zero_grad()
    F.cross_entropy(model(inputs[rows]), labels[rows]).backward()
    optimizer.step()

question = ls.Gradients(samples=number, jacobian=0, width=0, steps=False)
answer = question.run(ls.Subject(model, "ce", [(inputs, labels)], checkpoints))
exact = []
for one, (estimate, error) in zip(answer.series, estimates, strict=True):
    assert one.per_sample  # and of these very samples: diversity is 1 + (n − 1)/n tr Σ / ‖g‖²
    exact.append((one.per_sample.diversity.value - 1) * number / (number - 1))
    print(f"{one.checkpoint}: tr Σ / ‖g‖² {exact[-1]:.1f}, two sizes {estimate:.1f} ± {error:.1f}; "
          f"for other samples {one.noise_scale:.3g}")  # fmt: skip
    assert abs(estimate - exact[-1]) < 4 * error
    if exact[-1] < 128:  # beyond, batches of 256 are noise themselves
        assert abs(estimate / exact[-1] - 1) < (0.3 if options.quick else 0.15)
growth = (exact[-1] * exact[-2]) ** 0.5 / exact[1]  # that of single checkpoints jumps
print(f"steps {kept[-2]} and {kept[-1]} on (geometric) average: {growth:.1f} times step {kept[1]}")
assert growth > 1.5

TOP = 3e3  # of the figure
figure, axes = panels()
axes.semilogy(kept, exact, "o-", label="from every sample, tr Σ / ‖g‖²")
values, errors = np.transpose(estimates)
axes.errorbar(kept, values, 2 * errors, fmt="x", label="from batches of 16 and 256")
low, high = zip(*(one.noise_scale.interval for one in answer.series), strict=True)
axes.fill_between(
    kept, low, np.minimum(high, TOP), alpha=0.15, linewidth=0, label="for other samples, 95 %"
)
axes.set(xlabel="step", ylabel="gradient noise scale", ylim=(10, TOP))
axes.legend(loc="upper left")
figure.savefig(options.output)
print(f"figure: {options.output}")
