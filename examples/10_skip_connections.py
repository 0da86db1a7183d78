"""Skip connections smooth the loss surface (Li et al. 2018, 1712.09913).

Two networks of 20 hidden layers learn digits from the same draws, one with a skip round each layer.
Without, the loss half a weight's length away is several times higher on the same filter-normalised
directions, and the largest eigenvalue of the Hessian tens of times.
"""

import torch
from script import arguments
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

import landscape as ls
from landscape.figures.canvas import overlay, save

options = arguments(__doc__, "skip_connections.png", quick="a coarse surface of fewer samples")
inputs, labels = (torch.tensor(part) for part in load_digits(return_X_y=True))
inputs = inputs.float() / 16


class Deep(nn.Module):
    def __init__(self, *, skip: bool) -> None:
        super().__init__()
        sizes = [(64, 32), (32, 10), *[(32, 32)] * 20]
        self.first, self.last, *hidden = layers = [nn.Linear(*size) for size in sizes]
        self.hidden, self.skip = nn.ModuleList(hidden), skip
        for layer in layers:
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x))
        for layer in self.hidden:
            x = x + F.relu(layer(x)) / 20**0.5 if self.skip else F.relu(layer(x))
        return self.last(x)


lines = ls.Surface(dimensions=1, points=9, draws=4, unchecked=True)
plane = ls.Surface(points=31)
if options.quick:
    plane = ls.Surface(points=9, samples=300, unchecked=True)
spectrum = ls.Spectrum(top=1, bottom=0, probes=2, lanczos_steps=2, max_probes=2)
half, sharpness, planes = {}, {}, {}
for name in ("no skips", "with skips"):
    with torch.random.fork_rng():
        torch.manual_seed(options.seed)
        model = Deep(skip=name == "with skips")
    order = torch.Generator().manual_seed(options.seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for _ in range(400):
        rows = torch.randint(len(inputs), (64,), generator=order)
        optimizer.zero_grad()
        F.cross_entropy(model(inputs[rows]), labels[rows]).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    subject = ls.Subject(model, "ce", [(inputs, labels)])
    half[name] = lines.run(subject).loss[:, [2, 6]].mean()  # of 4 directions at −½ and ½
    sharpness[name] = spectrum.run(subject).eigenvalues.top[0]
    planes[name] = plane.run(subject)
    print(f"{name}: loss {half[name]:.3g} at ½ of the weights' length, λ₁ {sharpness[name]:.3g}")
assert half["no skips"] > 2 * half["with skips"]
assert sharpness["no skips"].value > 5 * sharpness["with skips"].value
save(overlay(list(planes.values()), list(planes)), options.output)
print(f"figure: {options.output}")
