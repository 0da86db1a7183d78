"""Independent runs: a barrier on the line, none on a curve, none once units are aligned.

Two MLPs trained on digits from different seeds (Garipov 2018; Ainsworth 2023), judged on the digits
that they learned. With --cnn two CNNs with BatchNorm, and REPAIR (Jordan 2022).
"""

import torch
from script import arguments
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

import landscape as ls

told = {"quick": "no path after one that connects", "cnn": "a CNN with BatchNorm, repaired"}
options = arguments(__doc__, "mode_connectivity.png", **told)

inputs, labels = (torch.tensor(part) for part in load_digits(return_X_y=True))
kept = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))[:1300]
inputs, labels = inputs[kept].float().view(-1, 1, 8, 8) / 16, labels[kept]


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
        rows = torch.randint(len(labels), (32,), generator=generator)
        optimizer.zero_grad()
        F.cross_entropy(model(inputs[rows]), labels[rows]).backward()
        optimizer.step()
    return ls.Checkpoint.of_model(model, f"seed {seed}")


ends = [run(2 * options.seed + number) for number in (0, 1)]
question = ls.Connect(every=not options.quick, repair=options.cnn, curve_steps=600)
answer = question.run(ls.Subject(network(), "ce", [(inputs, labels)], ends))
print(answer.summary())
paths, barrier = answer.pairs[0].paths, {}
for name, path in paths.items():
    barrier[name] = path.barrier.loss.value
    told = f"{name}: {path.verdict}, barrier {path.barrier.loss:.3g} in loss"
    print(f"{told}, {path.barrier.error:.3g} in error" if path.barrier.error else told)
assert barrier["line"] > 0.2
assert barrier["aligned"] < (0.25 if options.cnn else 0.1) * barrier["line"]
assert barrier.get("curve", 0) < 0.05
answer.plot(options.output)
print(f"figure: {options.output}")
