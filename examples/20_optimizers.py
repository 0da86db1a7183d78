"""Which optimizer finds what: SGD with momentum, Adam, Muon and a zeroth-order method on digits.

All four start at the same weights. What they find is put into one table: quality, sharpness,
margins, noise, distance from the start, and the straight line between every two. Muon holds the
matrix of the hidden layer, Adam the rest. The zeroth-order method looks at both sides of 32 random
directions a step (SPSA, Spall 1992; MeZO, Malladi et al. 2023) and never computes a gradient.
"""

from typing import Any

import torch
from script import arguments
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.functional import cross_entropy

import landscape as ls

options = arguments(__doc__, "optimizers.png")
images, labels = (torch.tensor(part) for part in load_digits(return_X_y=True))
order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
inputs, labels = images[order].float() / 16, labels[order]
data = {"train": [(inputs[:1300], labels[:1300])], "held_out": [(inputs[1300:], labels[1300:])]}
STEPS, DIRECTIONS, RADIUS = 1000, 32, 1e-2


def build(seed: int) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 10))


def by_gradients(name: str, model: nn.Sequential, source: torch.Generator) -> None:
    first, *rest = model.parameters()
    sgd, adam = torch.optim.SGD([first, *rest], 0.05, 0.9), torch.optim.Adam([first, *rest], 3e-3)
    muon = [torch.optim.Muon([first], 0.02), torch.optim.Adam(rest, 3e-3)]
    for _ in range(STEPS):
        batch = torch.randint(1300, (64,), generator=source)
        model.zero_grad()
        cross_entropy(model(inputs[batch]), labels[batch]).backward()
        for optimizer in {"SGD": [sgd], "Adam": [adam], "Muon": muon}[name]:
            optimizer.step()


def zeroth_order(model: nn.Sequential, source: torch.Generator) -> None:
    own = dict(model.named_parameters())
    theta = nn.utils.parameters_to_vector(own.values()).detach()

    def loss(theta: Tensor, batch: Tensor) -> Tensor:
        parts = theta.split([p.numel() for p in own.values()])
        point = {n: q.view(own[n].shape) for n, q in zip(own, parts, strict=True)}
        return cross_entropy(functional_call(model, point, inputs[batch]), labels[batch])

    for step in range(STEPS):
        batch = torch.randint(1300, (64,), generator=source)
        z = torch.randn(DIRECTIONS, len(theta), generator=source)
        up, down = (vmap(loss, (0, None))(theta + r * z, batch) for r in (RADIUS, -RADIUS))
        slope = (up - down) / (2 * RADIUS)
        theta = theta - 0.2 * (1 - step / STEPS) * slope @ z / DIRECTIONS
    nn.utils.vector_to_parameters(theta, own.values())


for seed in range(options.seed, options.seed + (1 if options.quick else 3)):
    networks = {name: build(seed) for name in ("start", "SGD", "Adam", "Muon", "zeroth order")}
    for name in ("SGD", "Adam", "Muon"):
        by_gradients(name, networks[name], torch.Generator().manual_seed(seed))
    zeroth_order(networks["zeroth order"], torch.Generator().manual_seed(seed))
    ends = [ls.Checkpoint.of_model(model, name) for name, model in networks.items()]
    result: Any = ls.Solutions(initial=True).run(ls.Subject(build(seed), "ce", data, ends))
    for table in result.tables()[:2]:
        for row in (table.columns, *table.rows):
            print(f"seed {seed}:", " | ".join(map(str, row)))
    sgd, adam, muon, zeroth = result.solutions
    assert muon.sharpness.interval[1] < min(sgd.sharpness.value, adam.sharpness.value)
    assert muon.from_initial.value > max(s.from_initial.value for s in (sgd, adam, zeroth))
    assert zeroth.margin.interval[1] < min(s.margin.value for s in (sgd, adam, muon))
    assert not any(pair.verdict == "barrier" for pair in result.pairs)
    told = {(one.name, one.number): one.verdict for one in result.beside}
    assert told["zeroth order", "judged_loss"] == "worse"
    result.plot(options.output)
print(f"figure: {options.output}")
