"""The eigenspectrum of a small network before and after training, on one scale.

The same as `landscape demo` and `landscape spectrum` do, in Python: train on scikit-learn's digits,
study both checkpoints, print the numbers with their doubt, and draw one figure.
"""

import argparse
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

import landscape as ls

arguments = argparse.ArgumentParser(description=__doc__)
arguments.add_argument("--quick", action="store_true", help="fewer steps and probes")
arguments.add_argument("-o", "--output", type=Path, default=Path("spectrum.png"))
options = arguments.parse_args()

inputs, labels = load_digits(return_X_y=True)
inputs, labels = torch.tensor(inputs, dtype=torch.float32) / 16, torch.tensor(labels)
data = list(zip(inputs.split(256), labels.split(256), strict=True))

with torch.random.fork_rng():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 10))

start = ls.Checkpoint.of_model(model, label="initial")
optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
for _ in range(50 if options.quick else 400):
    optimizer.zero_grad()
    F.cross_entropy(model(inputs), labels).backward()
    optimizer.step()
end = ls.Checkpoint.of_model(model, label="trained")

subject = ls.Subject(model, loss="ce", data=data, checkpoints=[start, end])
question = ls.Spectrum(top=10, bottom=3, max_probes=32 if options.quick else 256)
answer = question.run(subject)
for one in answer.series:
    print(one.summary())
    print(f"  complete: {one.complete}; outliers: {one.outliers.count}; {one.message}")

first, last = answer.series
assert first.complete
assert last.complete
print(f"training changed λ_max from {first.eigenvalues.top[0]} to {last.eigenvalues.top[0]}")
answer.plot(options.output)
print(f"figure: {options.output}")
