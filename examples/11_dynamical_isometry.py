"""Orthogonal weights keep every direction of the input alive through tanh, but not through ReLU.

Singular values of the Jacobian from input to output (Saxe 2014; Pennington 2017): all 1 for
products of orthogonal matrices; for Gaussian ones m₂/m₁² = L + 1, s²_max → (L + 1)^(L+1) / L^L.
"""

import math
from typing import Any

import numpy as np
import torch
from script import arguments, panels
from torch import nn

import landscape as ls

options = arguments(__doc__, "dynamical_isometry.png", quick="two seeds instead of five")
width, seeds = 200, range(options.seed, options.seed + (2 if options.quick else 5))


def network(kind: str, between: type[nn.Module] | None, depth: int, seed: int) -> nn.Module:
    generator, layers = torch.Generator().manual_seed(seed), list[nn.Module]()
    gain = math.sqrt(2) if between is nn.ReLU else 1.0
    for number in range(depth):
        layer = nn.Linear(width, width, bias=False)
        weight = torch.randn(width, width, generator=generator)
        weight = torch.linalg.qr(weight)[0] if kind == "orthogonal" else weight / math.sqrt(width)
        layer.weight.data = gain * weight
        layers += [between(), layer] if between is not None and number else [layer]
    return nn.Sequential(*layers)


def answer(kind: str, between: type[nn.Module] | None, depth: int, seed: int) -> Any:
    """Return what `landscape gradients` tells of a network at its start."""
    inputs = 0.1 * torch.randn(8, width, generator=torch.Generator().manual_seed(seed + 100))
    subject = ls.Subject(network(kind, between, depth, seed), "mse", (inputs, inputs))
    question = ls.Gradients(samples=8, jacobian=1 if between is None else 4, width=0, steps=False)
    return question.run(subject)


for depth in (1, 4, 10):
    values = [answer("gaussian", None, depth, seed).jacobian.values for seed in seeds]
    squares = np.square(np.concatenate(values))
    moments = np.square(squares).mean() / squares.mean() ** 2
    edge = (depth + 1) ** (depth + 1) / depth**depth
    print(f"L = {depth:2}: m₂/m₁² {moments:.2f} (theory {depth + 1}), "
          f"s²_max {squares.max(1).mean():.1f} (theory {edge:.1f} as the width grows)")  # fmt: skip
    assert abs(moments / (depth + 1) - 1) < (0.1 if options.quick else 0.05)
    assert 0.7 < squares.max(1).mean() / edge < 1.1

(last,) = answer("orthogonal", None, 20, options.seed).jacobian.layers[-1:]
print(f"orthogonal, linear, 20 layers: largest |s − 1| is {last.gap.value:.1e}")
assert last.gap.value < 1e-5

figure, axes = panels()
median = {}
for between in (nn.Tanh, nn.ReLU):
    for kind in ("orthogonal", "gaussian"):
        found = answer(kind, between, 20, options.seed)
        layers = [one for one in found.jacobian.layers if one.median]
        name = f"{between.__name__}, {kind}"
        median[name] = layers[-1].median.value
        print(f"{name}: median s {layers[-1].median}, χ₁ {found.mean_field.gain}")
        places = [20 if one is layers[-1] else int(one.name) // 2 + 1 for one in layers]
        axes.semilogy(places, [max(one.median.value, 1e-8) for one in layers], ".-", label=name)
axes.axhline(1, color="black", linewidth=0.8, linestyle="--")
axes.set(xlabel="layer, from the input", ylabel="median singular value of ∂h/∂x")
axes.set_xticks(range(0, 21, 5))
axes.legend()
figure.savefig(options.output)
assert median["Tanh, orthogonal"] > 0.5 > 0.05 > median["Tanh, gaussian"]
assert median["ReLU, orthogonal"] < 1e-3
print(f"figure: {options.output}")
