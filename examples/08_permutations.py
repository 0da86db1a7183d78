"""Networks that differ by the order of their units are one network (Ainsworth et al. 2023).

Between a network and a random permutation of it stands a barrier: matching finds the permutation,
and the barrier is gone. Of independent runs the units are only alike, and averages of units that
are only alike fall silent: REPAIR (Jordan et al. 2022) gives them their variance back.
"""

import torch
from script import arguments, panels
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

import landscape as ls
from landscape.symmetry.groups import infer
from landscape.symmetry.proof import prove

options = arguments(__doc__, "permutations.png", quick="weight matching only")

inputs, labels = (torch.tensor(part) for part in load_digits(return_X_y=True))
inputs = inputs.float() / 16


def network() -> nn.Module:
    hidden = [part for _ in range(4) for part in (nn.Linear(64, 64), nn.ReLU())]
    return nn.Sequential(*hidden, nn.Linear(64, 10))


def trained(seed: int) -> ls.Checkpoint:
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(600):
        rows = torch.randint(len(inputs), (32,), generator=generator)
        optimizer.zero_grad()
        F.cross_entropy(model(inputs[rows]), labels[rows]).backward()
        optimizer.step()
    return ls.Checkpoint.of_model(model, f"seed {seed}")


def paths(other: ls.Checkpoint):
    """Return the paths from the first network to another, by name."""
    subject = ls.Subject(network(), "ce", [(inputs, labels)], [first, other])
    yield "line", ls.Connect(path="line").run(subject).pairs[0].paths["line"]
    for matching in ("weights",) if options.quick else ("weights", "activations"):
        question = ls.Connect(path="aligned", matching=matching, repair=True)
        for name, path in question.run(subject).pairs[0].paths.items():
            yield f"{name}, {matching}", path


first, second = (trained(2 * options.seed + number) for number in (0, 1))
generator = torch.Generator().manual_seed(options.seed)
alone = ls.Subject(network(), "ce", [(inputs, labels)], first)
symmetry = infer(alone)
print(f"{len(symmetry.groups)} groups move {symmetry.moved_share:.1%} of the weights;", end=" ")
print(f"outputs change by {prove(alone, symmetry, generator).error:.1g}")
shuffled = symmetry.apply(symmetry.random(generator), first.tensors)

limits, (figure, both) = (1e-5, 0.3), panels(1, 2, sharey=True)
ends = (ls.Checkpoint(label=f"{first.label}, shuffled", tensors=shuffled), second)
for axes, other, limit in zip(both, ends, limits, strict=True):
    found = dict(paths(other))
    for name, path in found.items():
        print(f"{first.label} – {other.label}, {name}: barrier in loss {path.barrier.loss:.2g}")
        axes.semilogy(path.t, path.loss, marker=".", label=name)
    axes.set(xlabel=f"{first.label} – {other.label}", ylabel="loss")
    raw, *aligned = (path.barrier.loss.value for path in found.values())
    assert max(aligned) < limit * raw
figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
figure.savefig(options.output)
print(f"figure: {options.output}")
