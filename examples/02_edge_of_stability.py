"""Gradient descent trains at the edge of stability (Cohen et al. 2021, arXiv 2103.00065).

On a quadratic, steps of length η diverge once λ₁ > 2/η. Networks do not diverge: λ₁ rises to 2/η,
hovers about it, and the loss goes on falling. With a small learning rate it is never reached.
"""

from functools import partial

import torch
from edge import draw, margins, trained
from script import arguments

import landscape as ls

options = arguments(__doc__, "edge_of_stability.png")
question = ls.Spectrum(top=1, bottom=0, tolerance=1e-3, probes=2, lanczos_steps=2, max_probes=2)

runs = {}
for rate in (0.1, 0.6) if options.quick else (0.1, 0.4, 0.6):
    steps, every = (450, 90) if options.quick else (1500, 75)
    subject = trained(
        partial(torch.optim.SGD, lr=rate), steps=steps, every=every, seed=options.seed
    )
    answer = question.run(subject)
    runs[f"η = {rate:g}"] = answer.series
    tail = margins(answer)
    mean = sum(tail) / len(tail)
    print(f"  mean of the second half: {mean:.3f}, loss {answer.series[-1].loss.value:.3g}")
    assert mean < 0.6 if rate == 0.1 else 0.97 < mean < 1.10, mean
    assert answer.series[-1].loss.value < answer.series[len(answer.series) // 2].loss.value

draw(runs, "2/η", options.output)
print(f"figure: {options.output}")
