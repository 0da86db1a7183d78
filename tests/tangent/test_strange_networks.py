"""Kernels of networks that are hard to take apart, against a plain autograd loop in float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

import landscape as ls
from landscape.tangent.kernel import kernel


class Gpt(nn.Module):
    """Tied tables; the attention's output has a row for every token, not a sample."""

    def __init__(self):
        super().__init__()
        self.table, self.place = nn.Embedding(11, 8), nn.Embedding(5, 8)
        self.inward, self.outward = nn.Linear(8, 24), nn.Linear(8, 8)
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 11, bias=False)
        self.head.weight = self.table.weight

    def forward(self, ids: Tensor) -> Tensor:
        count, length = ids.shape
        x = self.table(ids) + self.place(torch.arange(length))
        parts = self.inward(self.norm(x)).view(count, length, 3, 2, 4).permute(2, 0, 3, 1, 4)
        met = F.scaled_dot_product_attention(*parts, is_causal=True)
        rows = self.outward(met.transpose(1, 2).reshape(count * length, 8))
        return self.head(self.norm(x + rows.view(count, length, 8)))[:, -1]


class Conv1D(nn.Module):
    """The linear layer of GPT-2 as it is distributed: weights in by out, flat rows."""

    def __init__(self, inward: int, outward: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inward, outward))
        self.bias = nn.Parameter(torch.randn(outward))

    def forward(self, x: Tensor) -> Tensor:
        rows = torch.addmm(self.bias, x.view(-1, x.size(-1)), self.weight)
        return rows.view(*x.shape[:-1], -1)


class Flattened(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.turned = nn.Embedding(9, 6), nn.Linear(6, 6)
        self.up, self.down = Conv1D(6, 8), Conv1D(8, 6)
        self.matrix = nn.Parameter(torch.randn(6, 3))

    def forward(self, ids: Tensor) -> Tensor:
        count, length = ids.shape
        x = self.table(ids.view(-1)).view(count, length, 6)
        x = x + self.down(torch.tanh(self.up(x)))
        turned = self.turned(x.transpose(0, 1).reshape(-1, 6))  # rows of a token, not of a sample
        return torch.tanh(turned.view(length, count, 6).mean(0)) @ self.matrix


class Frames(nn.Module):
    """Images of a sample stand one after another where samples are expected."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.conv(x.flatten(0, 1))))
        return self.head(x.mean((2, 3))).view(-1, 6)


class Reflected(nn.Module):
    """One convolution, three times."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect")
        self.head = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(3):
            x = torch.tanh(self.conv(x))
        return self.head(x.mean((2, 3)))


class Functional(nn.Module):
    """One weight scaled, transposed and in an einsum."""

    def __init__(self):
        super().__init__()
        self.weight, self.scale = nn.Parameter(torch.randn(4, 6)), nn.Parameter(torch.rand(1))
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        first = F.linear(x, self.weight * self.scale.abs()) + x @ self.weight.T
        return self.head(torch.tanh(first + torch.einsum("ni,oi->no", x, self.weight)))


class Complex(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight, self.head = nn.Parameter(torch.randn(4, 3, 2)), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = x.to(torch.complex128) @ torch.view_as_complex(self.weight).T
        return self.head(torch.tanh(torch.view_as_real(y).flatten(1)))


class Bag(nn.Module):
    def __init__(self, mode: str):
        super().__init__()
        self.bag, self.head = nn.EmbeddingBag(9, 5, mode=mode), nn.Linear(5, 3)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(torch.tanh(self.bag(ids)))


class Recurrent(nn.Module):
    def __init__(self, kind: Callable[..., nn.RNNBase]):
        super().__init__()
        self.cell, self.head = kind(4, 5, batch_first=True), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cell(x)[0][:, -1])


class LengthFirst(nn.Module):
    """Samples are the second axis; with as many tokens as samples no shape tells."""

    def __init__(self, whole: bool):
        super().__init__()
        layer = nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0)
        self.layer = layer if whole else nn.Linear(6, 6)
        self.head = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.layer(x.transpose(0, 1))).mean(0))


class Mixer(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens, self.channels, self.head = nn.Linear(5, 5), nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.tokens(x.mT).mT
        return self.head(torch.tanh(self.channels(x.reshape(-1, 4))).view(x.shape).mean(1))


class Autoencoder(nn.Module):
    """A weight and its transpose."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(torch.tanh(self.layer(x)), self.layer.weight.t())


class Detached(nn.Module):
    """A weight that is used once more without a gradient, in two ways."""

    def __init__(self):
        super().__init__()
        self.layer, self.head = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            still = torch.tanh(self.layer(x))
        return self.head(
            torch.tanh(self.layer(x)) + F.linear(x, self.layer.weight.detach()) + still
        )


class Transformed(nn.Module):
    """A forward pass that is itself made of transformed functions."""

    def __init__(self, way: str):
        super().__init__()
        self.layer, self.way = nn.Linear(4, 3), way

    def forward(self, x: Tensor) -> Tensor:
        if self.way == "vmap":
            return torch.func.vmap(lambda one: torch.tanh(self.layer(one)))(x)
        with torch.enable_grad():
            root = x.detach().requires_grad_()
            energy = torch.tanh(self.layer(root)).square().sum()
            return torch.autograd.grad(energy, root, create_graph=True)[0]


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 6), nn.Bilinear(6, 6, 5)
        self.norm, self.slope, self.head = nn.RMSNorm(5), nn.PReLU(), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.slope(self.first(x))
        return self.head(self.norm(self.second(x, x.flip(1))))


def upward() -> nn.Module:
    up = nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2, dilation=2)
    down = nn.Conv2d(
        6, 4, (1, 3), stride=(2, 1), padding=(0, 1), groups=2, padding_mode="replicate"
    )
    return nn.Sequential(up, nn.Tanh(), down, nn.Tanh(), nn.AdaptiveMaxPool2d(1), nn.Flatten())


def parametrised(kind: str) -> nn.Module:
    made = getattr(parametrizations, kind)(nn.Linear(6, 6))
    return nn.Sequential(made, nn.Tanh(), nn.Linear(6, 2))


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(5)).double()


def tokens(limit: int, *shape: int) -> Tensor:
    return torch.randint(limit, shape, generator=torch.Generator().manual_seed(5))


NETWORKS = {
    "tied language model": (Gpt, tokens(11, 4, 5)),
    "flat rows": (Flattened, tokens(9, 4, 5)),
    "frames": (Frames, drawn(4, 3, 2, 5, 5)),
    "reflected, three times": (Reflected, drawn(4, 3, 5, 6)),
    "functional": (Functional, drawn(4, 6)),
    "complex": (Complex, drawn(4, 3)),
    "bag, mean": (lambda: Bag("mean"), tokens(9, 4, 6)),
    "bag, max": (lambda: Bag("max"), tokens(9, 4, 6)),
    "GRU": (lambda: Recurrent(nn.GRU), drawn(4, 3, 4)),
    "LSTM": (lambda: Recurrent(nn.LSTM), drawn(4, 3, 4)),
    "length first": (lambda: LengthFirst(True), drawn(4, 5, 6)),
    "length first, square": (lambda: LengthFirst(False), drawn(4, 4, 6)),
    "length first, multiple": (lambda: LengthFirst(False), drawn(4, 8, 6)),
    "mixer": (Mixer, drawn(4, 5, 4)),
    "autoencoder": (Autoencoder, drawn(4, 4)),
    "detached": (Detached, drawn(4, 4)),
    "vmap": (lambda: Transformed("vmap"), drawn(4, 4)),
    "grad": (lambda: Transformed("grad"), drawn(4, 4)),
    "bilinear, RMS norm": (Scaled, drawn(4, 4)),
    "transposed, grouped, replicated": (upward, drawn(4, 4, 5, 4)),
    "weight norm": (lambda: parametrised("weight_norm"), drawn(4, 6)),
    "spectral norm": (lambda: parametrised("spectral_norm"), drawn(4, 6)),
    "orthogonal": (lambda: parametrised("orthogonal"), drawn(4, 6)),
}
FACTORED = {
    "tied language model": {"place.weight"},  # read once for all samples
    "flat rows": {"turned.weight", "turned.bias"},
    "reflected, three times": set(),
    "mixer": set(),
    "transposed, grouped, replicated": set(),
}


def loop(model: nn.Module, inputs: Tensor) -> np.ndarray:
    parameters, rows = list(model.parameters()), []
    for one in inputs:
        for output in model(one[None]).flatten():
            grads = torch.autograd.grad(
                output, parameters, retain_graph=True, materialize_grads=True
            )
            rows.append(torch.cat([grad.flatten() for grad in grads]))
    jacobian = torch.stack(rows)
    return (jacobian @ jacobian.T).numpy()


@pytest.mark.parametrize("name", NETWORKS)
def test_kernels_are_those_of_an_autograd_loop(name):
    build, inputs = NETWORKS[name]
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = build().double().eval()
    outputs = model(inputs).detach()
    data = [(inputs, torch.zeros_like(outputs))]
    subject = ls.Subject(model, "mse", data, dtype="float64", device="cpu")
    expected = loop(model, inputs)
    traced = np.einsum("ncmc->nm", expected.reshape(4, -1, 4, len(expected) // 4))
    for block in (4, 3):
        found = kernel(subject, kind="full", block=block)
        np.testing.assert_allclose(found.values, expected, atol=1e-12 * np.abs(expected).max())
    np.testing.assert_allclose(kernel(subject).values, traced, atol=1e-12 * np.abs(traced).max())
    if name in FACTORED:
        assert set(found.unfactored) == FACTORED[name]


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "complex"])
def test_single_precision_errs_by_rounding_alone(name):
    build, inputs = NETWORKS[name]
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = build().double().eval()
    data = [(inputs, torch.zeros_like(model(inputs)).detach())]
    values = []
    for dtype in ("float64", "float32"):
        subject = ls.Subject(model, "mse", data, dtype=dtype, device="cpu")
        values.append(kernel(subject, kind="full").values)
    assert np.abs(values[1] - values[0]).max() < 4e-6 * np.abs(values[0]).max()
