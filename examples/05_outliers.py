"""As many eigenvalues stand apart as there are classes, less one (Sagun 2017; Papyan 2019).

Of ten classes nine do, of four three, above a clear gap: at this stage of training, and for inputs
with a mean. On standardised digits no such gap is there: a count needs its gap ratio beside it.
"""

from typing import Any

import torch
from script import arguments, panels
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

import landscape as ls

options = arguments(__doc__, "outliers.png", quick="ten classes only")

question = ls.Spectrum(top=24, bottom=0, tolerance=1e-3, probes=2, lanczos_steps=2, max_probes=2)


def spectrum(classes: int, steps: int, *, standardised: bool = False):
    """Train an MLP by full batches with momentum, and return its top eigenvalues."""
    inputs, labels = load_digits(n_class=classes, return_X_y=True)
    inputs, labels = inputs[:1300] / 16, torch.tensor(labels[:1300])
    if standardised:
        inputs = (inputs - inputs.mean(0)) / (inputs.std(0) + 0.1 / 16)
    inputs = torch.tensor(inputs, dtype=torch.float32)
    with torch.random.fork_rng():
        torch.manual_seed(options.seed)
        model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, classes))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
    return question.run(ls.Subject(model, loss="ce", data=[(inputs, labels)]))


runs: list[tuple[str, int | None, Any]] = [("10 classes", 9, spectrum(10, 50))]
if not options.quick:
    runs.append(("4 classes", 3, spectrum(4, 10)))
    runs.append(("10 classes, standardised", None, spectrum(10, 50, standardised=True)))

figure, axes = panels()
for name, expected, answer in runs:
    told = f"{name}: {answer.outliers.count} outliers, gap ratio {answer.outliers.gap_ratio:.2f}"
    print(told)
    assert answer.complete
    if expected is None:
        assert answer.outliers.count < 9
        assert answer.outliers.gap_ratio < 2
    else:
        assert answer.outliers.count == expected
    values = [one.value for one in answer.eigenvalues.top]
    axes.semilogy(range(1, len(values) + 1), values, marker="o", markersize=4, label=told)
axes.set(xlabel="rank", ylabel="eigenvalue of the Hessian")
axes.legend()
figure.savefig(options.output)
print(f"figure: {options.output}")
