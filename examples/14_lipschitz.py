"""A Lipschitz constant between two sides, over training (Fazlyab et al. 2019; Kim et al. 2021).

The side from below is attained by a pair of inputs, the side from above is proved: for a chain of
matrices as a whole, below the product of the layers' norms. Both grow while the network learns.
"""

import argparse
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

import landscape as ls
from landscape.diagnostics.lipschitz import Lipschitz

arguments = argparse.ArgumentParser(description=__doc__)
arguments.add_argument("--quick", action="store_true", help="fewer steps")
arguments.add_argument("-o", "--output", type=Path, default=Path("lipschitz.png"))
options = arguments.parse_args()

inputs, labels = (torch.tensor(part) for part in load_digits(return_X_y=True))
inputs = inputs.float() / 16

generator = torch.Generator().manual_seed(0)
with torch.random.fork_rng():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 48), nn.GELU(), nn.Linear(48, 10)
    )
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
checkpoints = [ls.Checkpoint.of_model(model, "step 0")]
for step in range(1, 3 if options.quick else 5):
    for _ in range(60 if options.quick else 300):
        rows = torch.randint(len(inputs), (64,), generator=generator)
        optimizer.zero_grad()
        F.cross_entropy(model(inputs[rows]), labels[rows]).backward()
        optimizer.step()
    checkpoints.append(ls.Checkpoint.of_model(model, f"step {300 * step}"))

subject = ls.Subject(model, "ce", [(inputs[:256], labels[:256])], checkpoints, device="cpu")
answer = Lipschitz(seconds=1.0 if options.quick else 10.0, starts=2, steps=20).run(subject)
for one in answer.series:
    product = one.chains[0].product
    print(f"{one.checkpoint}: {one.network.lower}, {one.network.upper}, product of norms {product}")
    assert one.network.lower.value <= one.network.upper.value < product.value
answer.plot(options.output)
