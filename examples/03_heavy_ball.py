"""With momentum the edge moves out (Cohen et al. 2021, arXiv 2103.00065).

Heavy-ball steps with momentum β diverge on a quadratic once λ₁ > (2 + 2β)/η: at β = 0.9 nearly
twice as late as without. There λ₁ is thrown back, climbs, and is thrown back again, so that it is
the highest values that lie at the edge. The rule is read from the optimizer state.
"""

from functools import partial

import torch
from edge import draw, margins, trained
from script import arguments

import landscape as ls

options = arguments(__doc__, "heavy_ball.png")
question = ls.Spectrum(top=1, bottom=0, tolerance=1e-3, probes=2, lanczos_steps=2, max_probes=2)
momentum = partial(torch.optim.SGD, lr=0.6, momentum=0.9)
steps, every = (400, 50) if options.quick else (800, 40)

runs = {}
for seed in range(options.seed, options.seed + (1 if options.quick else 3)):
    subject = trained(momentum, steps=steps, every=every, seed=seed)
    answer = question.run(subject)
    runs[f"seed {seed}"] = answer.series
    ratios = margins(answer, last=1.0)
    highest, tail = max(ratios), ratios[len(ratios) // 2 :]
    mean = sum(tail) / len(tail)
    print(f"  highest: {highest:.3f}; mean of the second half: {mean:.3f}")
    assert 0.88 < mean < highest < 1.08, (mean, highest)
    assert min(tail) * (2 + 2 * 0.9) > 1.1 * 2  # beyond what steps without momentum could stand

draw(runs, "(2 + 2β)/η", options.output)
print(f"figure: {options.output}")
