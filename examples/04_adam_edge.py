"""Adam trains at an edge too: that of its preconditioned Hessian (Cohen et al. 2022, 2207.14484).

The largest eigenvalue of P⁻¹H, with P read from the optimizer state of each checkpoint, settles at
(2 + 2β₁)/((1 − β₁)η) = 38/η, while the largest eigenvalue of H itself rises on.
"""

from dataclasses import replace
from functools import partial

import torch
from edge import draw, margins, trained
from script import arguments

import landscape as ls

options = arguments(__doc__, "adam_edge.png")
question = ls.Spectrum(top=1, bottom=0, tolerance=1e-3, probes=2, lanczos_steps=2, max_probes=2)
preconditioned = replace(question, precondition="optimizer")

runs = {}
for rate in (3e-3,) if options.quick else (1e-3, 3e-3):
    adam = partial(torch.optim.Adam, lr=rate, betas=(0.9, 0.99), eps=1e-7)
    steps, every = (1200, 150) if options.quick else (2000, 100)
    subject = trained(adam, steps=steps, every=every, seed=options.seed)
    answer = preconditioned.run(subject)
    runs[f"η = {rate:g}"] = answer.series
    tail = [38 * margin for margin in margins(answer)]
    mean = sum(tail) / len(tail)
    ends = (subject.at(subject.checkpoints[i]) for i in (0, -1))
    first, last = (question.run(one).eigenvalues.top[0] for one in ends)
    print(f"  mean of η λ₁(P⁻¹H) in the second half: {mean:.1f}; λ₁(H) from {first} to {last}")
    assert 35 < mean < 40, mean
    assert last.interval[0] > first.interval[1]

draw(runs, "38/η", options.output)
print(f"figure: {options.output}")
