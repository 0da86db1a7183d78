"""Wrong labels are found by the tangent kernel, whose alignment with the targets training raises.

A regression on the kernel tells every sample by all others, exactly, from one eigendecomposition:
where it contradicts the label, the label is suspect. Five in a hundred digits are mislabelled here.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import landscape as ls
from landscape.training.digits import cnn, data

arguments = argparse.ArgumentParser(description=__doc__)
arguments.add_argument("--quick", action="store_true", help="300 digits instead of 1,000")
arguments.add_argument("-o", "--output", type=Path, default=Path("tangent_kernel.png"))
options = arguments.parse_args()

count = 300 if options.quick else 1000
inputs, labels = (tensor[:count] for tensor in data().dataset.tensors)  # type: ignore[attr-defined]
source = np.random.default_rng(0)
wrong = source.choice(count, count // 20, replace=False)
given = labels.clone()
given[wrong] = (labels[wrong] + torch.as_tensor(source.integers(1, 10, len(wrong)))) % 10

generator = torch.Generator().manual_seed(0)
with torch.random.fork_rng():
    torch.manual_seed(0)
    model = cnn()
for parameter in model.parameters():
    if parameter.dim() > 1:
        nn.init.kaiming_normal_(parameter, nonlinearity="relu", generator=generator)
start = ls.Checkpoint.of_model(model, "start")
optimizer = torch.optim.Adam(model.parameters(), 3e-3)
for _ in range(150):
    rows = torch.randint(count, (64,), generator=generator)
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(inputs[rows]), given[rows]).backward()
    optimizer.step()

ends = [start, ls.Checkpoint.of_model(model, "trained")]
subject = ls.Subject(model, "ce", [(inputs, given)], ends)
result: Any = ls.Ntk(samples=count).run(subject)
for one in result.series:
    print(f"{one.checkpoint}: alignment, centred {one.alignment_centred}, "
          f"largest learning rate {one.dynamics.largest_rate}")  # fmt: skip
print(f"the kernel moved by {result.change.first}, its trace {result.change.scale} times")

suspects = [one.sample for one in result.regression.suspects]
found = len(set(suspects) & set(wrong.tolist()))
print(f"of the {len(suspects)} most suspected of {count} labels, {found} are wrong")
for one in result.regression.suspects[:3]:
    print(f"  sample {one.sample}: label {one.label}, all others say {one.predicted}")
result.plot(options.output)
print(f"figure: {options.output}")
assert result.series[1].alignment_centred.value > result.series[0].alignment_centred.value
assert found >= 0.5 * len(wrong[:20])
