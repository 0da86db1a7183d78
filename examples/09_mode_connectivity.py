"""Independent runs: a barrier on the line, none on a curve, none once units are aligned.

Two MLPs trained on digits from different seeds (Garipov 2018; Ainsworth 2023), judged on others.
With --cnn two CNNs with BatchNorm, and REPAIR (Jordan 2022).
"""

import argparse
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

import landscape as ls

arguments = argparse.ArgumentParser(description=__doc__)
arguments.add_argument("--quick", action="store_true", help="no path after one that connects")
arguments.add_argument("--cnn", action="store_true", help="a CNN with BatchNorm, repaired")
arguments.add_argument("-o", "--output", type=Path, default=Path("mode_connectivity.png"))
options = arguments.parse_args()

inputs, labels = (torch.tensor(part) for part in load_digits(return_X_y=True))
inputs = inputs.float().view(-1, 1, 8, 8) / 16
train, held_out = torch.randperm(1797, generator=torch.Generator().manual_seed(0)).split((900, 897))


def network() -> nn.Module:
    if not options.cnn:
        layers = [nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)]
        return nn.Sequential(nn.Flatten(), *layers)
    first = [nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)]
    last = [nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU()]
    return nn.Sequential(*first, *last, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def run(seed: int) -> ls.Checkpoint:
    """Train with SGD: another seed is another start and another order of the data."""
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = network().train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(400 if options.cnn else 800):
        rows = train[torch.randint(len(train), (32,), generator=generator)]
        optimizer.zero_grad()
        F.cross_entropy(model(inputs[rows]), labels[rows]).backward()
        optimizer.step()
    return ls.Checkpoint.of_model(model, f"seed {seed}")


data = {name: [(inputs[i], labels[i])] for name, i in (("train", train), ("held_out", held_out))}
question = ls.Connect(every=not options.quick, repair=options.cnn, curve_steps=600)
answer = question.run(ls.Subject(network(), "ce", data, [run(0), run(1)]))
print(answer.summary())
for name, path in answer.pairs[0].paths.items():
    print(f"{name}: {path.verdict}, barrier {path.barrier.loss:.3g} on held-out data")
answer.plot(options.output)
print(f"figure: {options.output}")
