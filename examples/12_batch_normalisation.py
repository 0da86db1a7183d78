"""BatchNorm flattens where training ends, and explodes where that of a deep network begins.

λ₁ of the train-mode Hessian (Ghorbani 2019; Santurkar 2018; Yang 2019): as in a training step, the
batch's own statistics normalise. ReLU networks of width 32 on digits, with scaled skips or without.
"""

import torch
from script import arguments, panels
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

import landscape as ls

options = arguments(__doc__, "batch_normalisation.png", quick="train one pair of networks only")

inputs, labels = (torch.tensor(part[:1300]) for part in load_digits(return_X_y=True))
inputs = inputs.float() / 16
question = ls.Spectrum(top=1, bottom=0, tolerance=1e-2, probes=2, lanczos_steps=2, max_probes=2)


class Deep(nn.Module):
    def __init__(self, depth: int, *, skip: bool, norm: bool) -> None:
        super().__init__()
        self.first, self.last, self.skip = nn.Linear(64, 32), nn.Linear(32, 10), skip
        norms = [nn.BatchNorm1d(32) if norm else nn.Identity() for _ in range(depth)]
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(32, 32), n, nn.ReLU()) for n in norms)
        for weight in [one for one in self.parameters() if one.dim() == 2]:
            nn.init.kaiming_normal_(weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.first(x))
        for block in self.blocks:
            x = x + block(x) / len(self.blocks) ** 0.5 if self.skip else block(x)
        return self.last(x)


def sharpness(depth: int, skip: bool, norm: bool, steps: int) -> float:
    generator = torch.Generator().manual_seed(options.seed)
    with torch.random.fork_rng():
        torch.manual_seed(options.seed)
        model = Deep(depth, skip=skip, norm=norm)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for _ in range(steps):
        rows = torch.randint(len(inputs), (32,), generator=generator)
        optimizer.zero_grad()
        F.cross_entropy(model(inputs[rows]), labels[rows]).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1)
        optimizer.step()
    answer = question.run(ls.Subject(model, loss="ce", data=[(inputs, labels)], mode="train"))
    assert answer.complete
    return answer.eigenvalues.top[0].value


cases = [(6, True, 400), (20, False, 0)]  # depth, skips, steps of training
cases += [] if options.quick else [(6, False, 400), (20, True, 400)]
figure, axes = panels()
for depth, skip, steps in cases:
    pair = [sharpness(depth, skip, norm, steps) for norm in (False, True)]
    kind, when = "with skips" if skip else "plain", "trained" if steps else "at the start"
    name = f"depth {depth}, {kind}, {when}"
    print(f"{name}: λ₁ {pair[0]:.3g} without BatchNorm, {pair[1]:.3g} with it")
    assert pair[1] < pair[0] / 1.5 if steps else pair[1] > 20 * pair[0], name
    axes.semilogy(["without BatchNorm", "with BatchNorm"], pair, marker="o", label=name)
axes.set(ylabel="largest eigenvalue of the train-mode Hessian")
axes.margins(x=0.15)
axes.legend()
figure.savefig(options.output)
print(f"figure: {options.output}")
