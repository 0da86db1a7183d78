"""Numbers that can be worked out by hand, beside those that are measured.

A step of SAM (Foret et al. 2021) by ρ raises a quadratic loss by ρ‖g‖ + ½ρ² gᵀHg/‖g‖² exactly, and
another loss up to O(ρ³). Zeroth-order gradients (MeZO, Malladi 2023) are n + 2 times as long as g,
squared. In softmax regression a sample's gradient is as long as p − y times its input, which gives
what clipping it, as private training does (Abadi 2016), does to the mean.
"""

import numpy as np
import torch
from script import arguments, panels
from sklearn.datasets import load_digits
from torch import nn

import landscape as ls

options = arguments(__doc__, "closed_forms.png", quick="fewer draws and thresholds")
inputs, labels = (torch.tensor(part[:600]) for part in load_digits(return_X_y=True))
inputs, onehot = inputs / 16, torch.eye(10, dtype=torch.float64)[labels]
with torch.random.fork_rng():
    torch.manual_seed(options.seed)
    linear = nn.Linear(64, 10).double()
    mlp = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10)).double()

figure, (left, right) = panels(1, 2)
radii = np.geomspace(0.01, 1, 5)
for name, model in {"linear": linear, "MLP": mlp}.items():
    subject = ls.Subject(model, "mse", [(inputs, onehot)])
    point, g = subject.point, subject.gradient(subject.point)
    u = g / g.norm()
    slope, curvature = float(g.norm()), float(u @ (ls.HessianOperator(subject) @ u))
    moved = [subject.loss(point.moved(point.theta + r * u)) for r in radii]
    rise, told = np.array(moved) - subject.loss(point), radii * slope + radii**2 / 2 * curvature
    (line,) = left.loglog(radii, told, label=f"{name}, closed form")
    left.loglog(radii, rise, "o", color=line.get_color(), label=f"{name}, measured")
    off = np.abs(rise - told)
    print(f"{name}: the rise by a step of SAM is off by {off.max() / rise[off.argmax()]:.1e}")
    order = np.log(off[1] / off[0]) / np.log(radii[1] / radii[0])
    assert off.max() < 1e-12 if name == "linear" else 2.8 < order < 3.2, (name, off)
left.set(xlabel="ρ", ylabel="rise of the loss by a step of SAM")
left.legend()

subject = ls.Subject(linear, "mse", [(inputs, onehot)])
point, g, squares = subject.point, subject.gradient(subject.point), []
generator = torch.Generator().manual_seed(options.seed)
for _ in range(200 if options.quick else 2000):
    z = torch.randn(len(g), generator=generator, dtype=torch.float64)
    plus, minus = (subject.loss(point.moved(point.theta + e * z)) for e in (1e-3, -1e-3))
    squares.append(float(((plus - minus) / 2e-3 * z).square().sum() / g.square().sum()))
mean, error = np.mean(squares), np.std(squares) / len(squares) ** 0.5
print(f"zeroth order: E‖ĝ‖²/‖g‖² {mean:.0f} ± {2 * error:.0f}, closed form {len(g) + 2}")
assert abs(mean - len(g) - 2) < 4 * error

optimizer = torch.optim.SGD(linear.parameters(), lr=1.0)
for _ in range(300):  # until few samples have long gradients
    optimizer.zero_grad()
    nn.functional.cross_entropy(linear(inputs), labels).backward()
    optimizer.step()
residual = (linear(inputs).softmax(1) - onehot).detach()
extended = torch.cat([inputs, torch.ones(600, 1)], 1)  # the bias is the weight of a one
norms, whole = residual.norm(dim=1) * extended.norm(dim=1), residual.T @ extended
thresholds = np.geomspace(0.1, 10, 3 if options.quick else 9)
by_hand, measured = [], []
for threshold in thresholds:
    cut = (residual * (threshold / norms).clamp(max=1)[:, None]).T @ extended
    cosine, ratio = (cut * whole).sum() / cut.norm() / whole.norm(), cut.norm() / whole.norm()
    by_hand.append([float((norms > threshold).double().mean()), float(cosine), float(ratio)])
    question = ls.Gradients(samples=600, clip=float(threshold), jacobian=0, width=0, steps=False)
    answer = question.run(ls.Subject(linear, "ce", [(inputs, labels)]))
    assert answer.per_sample
    found = answer.per_sample.clipped[0]
    measured.append([one.value for one in (found.fraction, found.cosine, found.ratio)])
told = np.abs(np.subtract(by_hand, measured)).max()
print(f"clipping: share, cosine and ratio of lengths are off by at most {told:.1e}")
assert told < 1e-9
for number, name in enumerate(("share clipped", "cosine with g", "length over ‖g‖")):
    (line,) = right.semilogx(thresholds, np.array(by_hand)[:, number], label=name)
    right.semilogx(thresholds, np.array(measured)[:, number], "o", color=line.get_color())
right.set(xlabel="C, to which samples are clipped")
right.legend()
figure.savefig(options.output)
print(f"figure: {options.output}")
