"""Under µP nothing scales with the width, and neither does the best learning rate (Yang 2022).

An MLP on digits, in the standard parametrisation and in that of maximal updates: the coordinate
check of both, and the loss after 25 steps of Adam over learning rates and widths. From the shell
the first is `landscape coordcheck --model nets.py:build --optimizer nets.py:optimizer ...`.
"""

from functools import partial

import numpy as np
import torch
from script import arguments, panels
from sklearn.datasets import load_digits
from torch import nn

import landscape as ls

options = arguments(__doc__, "mup.png")
images, labels = (torch.tensor(part) for part in load_digits(return_X_y=True))
rows = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))[:1300]
inputs, targets = images[rows].float(), labels[rows]
inputs = (inputs - inputs.mean(0)) / (inputs.std(0) + 0.1)


def build(width: int, *, mup: bool) -> nn.Sequential:
    net = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
    last = nn.Linear(width, 10)
    for layer, std in ((net[0], 0.125 * 2**0.5), (net[2], (2 / width) ** 0.5), (last, width**-0.5)):
        nn.init.normal_(layer.weight, std=0 if mup and layer is last else std)  # type: ignore[arg-type]
    return net.append(last)


def optimizer(model: nn.Sequential, learning_rate: float, width: int) -> torch.optim.Adam:
    wide = [model[2].weight, model[4].weight]  # the width is their fan-in
    rest = [model[0].weight, *(model[i].bias for i in (0, 2, 4))]
    divided = {"params": wide, "lr": learning_rate * 64 / width}
    return torch.optim.Adam([{"params": rest}, divided], lr=learning_rate)


def trained(width: int, rate: float, seed: int, *, mup: bool) -> float:
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(seed)
        model = build(width, mup=mup)
        adam = optimizer(model, rate, width) if mup else torch.optim.Adam(model.parameters(), rate)
        for _ in range(25):
            drawn = torch.randint(len(targets), (64,))
            adam.zero_grad()
            nn.functional.cross_entropy(model(inputs[drawn]), targets[drawn]).backward()
            adam.step()
    with torch.no_grad():
        return float(nn.functional.cross_entropy(model(inputs), targets))


widths, powers, swept, least = (64, 128, 256, 512, 1024), np.arange(-12, -3), (64, 256, 1024), 3
if options.quick:
    widths, powers, swept, least = (64, 128, 256, 512), np.arange(-12, -3, 2), (64, 512), 1
figure, both = panels(1, 2, sharey=True)
best: dict[str, list[int]] = {}
checks, regret = {}, {}
for axes, name in zip(both, ("SP", "µP"), strict=True):
    mup = name == "µP"
    check = ls.Coordcheck(
        widths=widths, optimizer=optimizer if mup else "adam", learning_rate=0.01, seed=options.seed
    )
    checks[name] = check.run(partial(build, mup=mup), [(inputs, targets)], "ce")
    print(f"{name}: {checks[name].summary()}")
    best[name], loss = [], np.ones(1)
    for width in swept:
        seeds = range(9 * options.seed, 9 * options.seed + max(least, 576 // width))
        logs = [[np.log(trained(width, 2.0**p, s, mup=mup)) for p in powers] for s in seeds]
        loss = np.exp(np.mean(logs, 0))
        best[name].append(int(powers[loss.argmin()]))
        axes.semilogy(powers, loss, "o-", markersize=3, label=f"width {width:,}")
    regret[name] = loss[powers == best[name][0]].item() / loss.min()  # of the widest
    print(f"  log₂ of the best learning rate at widths {swept}: {best[name]}")
    print(f"  with that of width {swept[0]}, the loss of width {swept[-1]:,} is "
          f"{regret[name]:.2f} times its least")  # fmt: skip
    slope = checks[name].module("4").changes[0]
    axes.set(title=f"{name}: outputs move as width^{slope:.2f}", xlabel="log₂ of the learning rate")
both[0].set(ylabel="loss after 25 steps", ylim=(0.05, 3))
both[0].yaxis.set_major_formatter("{x:g}")
both[0].legend()
figure.savefig(options.output)
print(f"figure: {options.output}")

assert checks["SP"].verdict == "fail"
assert checks["µP"].verdict == "pass"
assert best["SP"][0] - best["SP"][-1] >= (2 if options.quick else 3)
assert abs(best["µP"][0] - best["µP"][-1]) <= 1
assert regret["µP"] < 1.5 < regret["SP"]
