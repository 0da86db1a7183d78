"""The wider the network, the nearer its tangent kernel to a fixed one, and the lazier training.

f(x) = √(2/m) aᵀ relu(W x) of unit inputs: before training the kernel is off the arc-cosine kernel
of infinite width by m^−½ (Jacot 2018, 1806.07572; Cho & Saul 2009), and 300 steps of gradient
descent move it the less the larger m is (Chizat 2019, 1812.07956).
"""

import tempfile

import numpy as np
import torch
from script import arguments, panels
from torch import Tensor, nn

import landscape as ls

options = arguments(__doc__, "kernel_width.png")
widths = np.array([64, 512, 4096] if options.quick else [64, 256, 1024, 4096, 16384])
seeds = range(8 * options.seed, 8 * options.seed + (3 if options.quick else 8))
inputs = torch.randn(20, 10, generator=torch.Generator().manual_seed(0))
inputs = nn.functional.normalize(inputs)
targets = torch.sin(3 * inputs[:, :1])
cosine = (inputs @ inputs.T).double().clamp(-1, 1).numpy()
angle = np.arccos(cosine)
infinite = (2 * cosine * (np.pi - angle) + np.sqrt(1 - cosine**2)) / np.pi  # κ₁ + cos κ₀


class TwoLayers(nn.Sequential):
    def __init__(self, width: int, generator: torch.Generator) -> None:
        super().__init__(
            nn.Linear(10, width, bias=False), nn.ReLU(), nn.Linear(width, 1, bias=False)
        )
        for parameter in self.parameters():
            nn.init.normal_(parameter, generator=generator)
        self.scale = (2 / width) ** 0.5

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * super().forward(x)


def kernels(width: int, seed: int) -> list[np.ndarray]:
    """Return the kernel before and after training."""
    model = TwoLayers(width, torch.Generator().manual_seed(seed))
    ends = [ls.Checkpoint.of_model(model, "start")]
    descent = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(300):
        descent.zero_grad()
        (0.5 * (model(inputs) - targets).square().mean()).backward()
        descent.step()
    ends.append(ls.Checkpoint.of_model(model, "end"))
    subject = ls.Subject(model, "mse", [(inputs, targets)], ends)
    with tempfile.TemporaryDirectory() as folder:
        ls.Ntk(rate=False, kernel_file=f"{folder}/{{checkpoint}}.npz").run(subject)
        return [np.load(f"{folder}/{end.label}.npz")["kernel"] for end in ends]


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


deviation, drift = np.zeros((2, len(seeds), len(widths)))
for column, width in enumerate(widths):
    for row, seed in enumerate(seeds):
        start, end = kernels(int(width), seed)
        deviation[row, column] = distance(start, infinite)
        drift[row, column] = distance(end, start)
    off, moved = deviation[:, column].mean(), drift[:, column].mean()
    print(f"width {width:6,}: deviation × √m = {off * width**0.5:.2f}, drift {moved:.4f}")

figure, axes = panels()
slopes = []
for name, values in (("off infinite width", deviation), ("moved by training", drift)):
    each = np.polyfit(np.log(widths), np.log(values).T, 1)[0]
    slopes.append(each.mean())
    error = each.std(ddof=1) / len(each) ** 0.5
    print(f"{name}: slope {slopes[-1]:.3f} ± {error:.3f} (standard error, {len(each)} seeds)")
    mean = np.exp(np.log(values).mean(0))
    axes.loglog(widths, mean, "o-", label=f"{name}, slope {slopes[-1]:.2f}")
    axes.fill_between(widths, values.min(0), values.max(0), alpha=0.2, linewidth=0)
axes.set(xlabel="width m", ylabel="distance of kernels over their norm")
axes.set_xticks(widths, [f"{width:,}" for width in widths])
axes.yaxis.set_major_formatter("{x:g}")
axes.minorticks_off()
axes.legend()
figure.savefig(options.output)
print(f"figure: {options.output}")

assert -0.6 <= slopes[0] <= -0.4
assert slopes[1] < -0.4
assert (np.diff(np.log(drift).mean(0)) < 0).all()
