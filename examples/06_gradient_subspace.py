"""The gradient comes to lie in the span of the top eigenvectors (Gur-Ari et al. 2018, 1812.04754).

Of a random direction, nine among 2,410 would hold 0.4 %. Trained by SGD with small batches, the
top nine hold a small part of the squared gradient at first and nearly all of it after 100 steps.
Full-batch training with small steps does not show this: it depends on the optimizer.
"""

import torch
from script import arguments, panels
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

import landscape as ls

options = arguments(__doc__, "gradient_subspace.png", quick="the first and the last checkpoint")

inputs, labels = load_digits(return_X_y=True)
inputs, labels = torch.tensor(inputs[:1300], dtype=torch.float32) / 16, torch.tensor(labels[:1300])
with torch.random.fork_rng():
    torch.manual_seed(options.seed)
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))

kept = (0, 100) if options.quick else (0, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100)
checkpoints = []
order = torch.Generator().manual_seed(options.seed)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
for step in range(101):
    if step in kept:
        tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        checkpoints.append(ls.Checkpoint(label=f"step {step}", step=step, tensors=tensors))
    rows = torch.randperm(1300, generator=order)[:32]
    optimizer.zero_grad()
    F.cross_entropy(model(inputs[rows]), labels[rows]).backward()
    optimizer.step()

subject = ls.Subject(model, loss="ce", data=[(inputs, labels)], checkpoints=checkpoints)
question = ls.Spectrum(top=10, bottom=0, tolerance=1e-3, probes=2, lanczos_steps=2, max_probes=2)
series = question.run(subject).series
shares = [one.gradient_share[8] for one in series]  # of the first nine
print(f"share of the squared gradient in the top 9: {shares[0]} at the start, {shares[-1]} at 100")
assert shares[0].value < 0.3
assert shares[-1].value > 0.9

figure, axes = panels()
axes.plot(kept, [one.value for one in shares], marker="o", label="top 9 = C − 1 eigenvectors")
low, high = zip(*(one.interval for one in shares), strict=True)
axes.fill_between(kept, low, high, alpha=0.2, linewidth=0)
axes.plot(kept, [one.gradient_share[0].value for one in series], marker="o", label="the first")
axes.axhline(9 / 2410, color="black", linewidth=0.8, linestyle="--", label="9 random directions")
axes.set(xlabel="step", ylabel="share of ‖gradient‖²", ylim=(-0.02, 1.02))
axes.legend()
figure.savefig(options.output)
print(f"figure: {options.output}")
