"""Small batches lead to flatter places than large ones do (Keskar et al. 2017, 1609.04836).

The same network, learning rate and number of steps; batches of 16, of 64, and all 1,300 digits. By
all of the data η λ₁ rises towards 2, where the edge of stability is; by small batches it stays
below, although the training loss is as low.
"""

from functools import partial

import torch
from edge import trained
from script import arguments, panels

import landscape as ls

options = arguments(__doc__, "batch_size.png")
question = ls.Spectrum(top=1, bottom=0, tolerance=1e-3, probes=2, lanczos_steps=2, max_probes=2)
rate, steps, every = 0.2, *((1000, 500) if options.quick else (4000, 400))
sizes = {"16": 16, "64": 64, "all 1,300": None}

figure, axes = panels()
for seed in range(options.seed, options.seed + (1 if options.quick else 3)):
    last = {}
    for colour, (name, size) in enumerate(sizes.items()):
        descent = partial(torch.optim.SGD, lr=rate)
        subject = trained(descent, steps=steps, every=every, seed=seed, batch=size)
        series = question.run(subject).series
        last[name] = rate * series[-1].eigenvalues.top[0].value
        told = f"η λ₁ {last[name]:.2f}, training loss {series[-1].loss.value:.3f}"
        print(f"seed {seed}, batches of {name}: {told}")
        values = [rate * one.eigenvalues.top[0].value for one in series]
        label = f"batches of {name}" if seed == options.seed else None
        axes.plot([one.step for one in series], values, f"C{colour}.-", label=label)
    assert last["16"] < last["64"] < last["all 1,300"] < 2

axes.axhline(2, color="black", linewidth=0.8, linestyle="--")
axes.set(xlabel="step", ylabel="η λ₁ of the whole loss", ylim=(0, 2.1))
axes.legend(loc="lower right", ncols=3)
figure.savefig(options.output)
print(f"figure: {options.output}")
