"""The blocks of a transformer's Hessian are unlike one another; those of an MLP are alike.

Zhang et al. 2024 (2402.16788) explain by it why transformers need Adam. On digits, before training:
the spectrum of every weight matrix by itself, how far two of them are apart on average (distance of
Jensen and Shannon: 0 alike, 1 disjoint), and how many decades their largest eigenvalues spread.
"""

import torch
from script import arguments, panels
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

import landscape as ls

options = arguments(__doc__, "transformer_blocks.png", quick="fewer samples, and no CNN")


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(16, 16) for _ in range(4))
        self.up, self.down = nn.Linear(16, 64), nn.Linear(64, 16)

    def forward(self, x: Tensor) -> Tensor:  # (b, tokens, 16)
        y = F.layer_norm(x, (16,))
        q, k, v = (f(y).unflatten(-1, (2, 8)).transpose(1, 2) for f in (self.q, self.k, self.v))
        x = x + self.o(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(F.layer_norm(x, (16,)))))


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.blocks = nn.Linear(8, 16), nn.Sequential(Block(), Block())
        self.places, self.head = nn.Parameter(0.02 * torch.randn(8, 16)), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:  # the rows of a digit are the tokens
        return self.head(self.blocks(self.embed(x.view(-1, 8, 8)) + self.places).mean(1))


def mlp() -> nn.Module:
    hidden = [part for size in (64, 20, 20) for part in (nn.Linear(size, 20), nn.ReLU())]
    return nn.Sequential(*hidden, nn.Linear(20, 10))


def cnn() -> nn.Module:
    hidden = [part for c in (1, 8, 8) for part in (nn.Conv2d(c, 8, 3, padding=1), nn.ReLU())]
    return nn.Sequential(nn.Unflatten(1, (1, 8, 8)), *hidden, nn.Flatten(), nn.Linear(512, 10))


inputs, labels = (torch.tensor(part) for part in load_digits(return_X_y=True))
kept = slice(50 if options.quick else 150)
data = [(inputs[kept].float() / 16, labels[kept])]
question = ls.Spectrum(top=1, bottom=0, probes=8, lanczos_steps=32, max_probes=2, blocks=True)
networks = {"MLP": mlp, "CNN": cnn, "Transformer": Transformer}
if options.quick:
    del networks["CNN"]
distance, (figure, row) = {}, panels(1, len(networks), sharex=True)
for axes, (name, network) in zip(row, networks.items(), strict=True):
    with torch.random.fork_rng():
        torch.manual_seed(options.seed)
        model = network()
    found = question.run(ls.Subject(model, "ce", data, params="*weight")).heterogeneity
    assert found
    distance[name] = found.distance
    print(f"{name}: distance {found.distance}, spread {found.spread} decades")
    axes.semilogx([one.largest.value for one in found.blocks], [b.name for b in found.blocks], "o")
    axes.set(title=f"{name}\ndistance {found.distance.value:.2f}", xlabel="λ₁ of the block")
    axes.invert_yaxis()
assert distance["Transformer"].interval[0] > 2 * distance["MLP"].interval[1]
figure.savefig(options.output)
print(f"figure: {options.output}")
