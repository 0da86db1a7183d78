"""Factors and contractions against a plain autograd loop, also where other tools err in silence."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import landscape as ls
from landscape.tangent import capture
from landscape.tangent.blocks import block_of
from landscape.tangent.contraction import contracted, costs
from tests.cases import CASES


def loop(model, inputs, names=None):
    """J (n, O, p) by one backward pass for every output of every sample."""
    parameters = [p for n, p in model.named_parameters() if names is None or n in names]
    rows = []
    for one in inputs:
        outputs = model(one[None]).flatten()
        grads = [
            torch.autograd.grad(o, parameters, retain_graph=True, materialize_grads=True)
            for o in outputs
        ]
        rows.append(torch.stack([torch.cat([g.flatten() for g in each]) for each in grads]))
    return torch.stack(rows)


def subject_of(model, inputs):
    model = model.double().eval()
    with torch.no_grad():
        shape = model(inputs).shape
    return ls.Subject(
        model,
        loss="mse",
        data=[(inputs, torch.zeros(shape).double())],
        dtype="float64",
        device="cpu",
    )


def kernel(first, second, order):
    total = 0
    for name in first.factors:
        f, g = first.factors[name], second.factors[name]
        offered = [one.order for one in costs(f, g, outputs=first.outputs.shape[1], traced=False)]
        chosen = order if order in offered else "flat"
        total = total + contracted(f, g, chosen)
        traced = contracted(f, g, chosen, traced=True)
        torch.testing.assert_close(
            traced, torch.einsum("ncmc->nm", contracted(f, g, chosen)), rtol=1e-10, atol=1e-12
        )
    return total


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.head = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x):
        return self.head(torch.tanh(self.layer(torch.tanh(self.layer(x)))))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(7, 4)
        self.mix = nn.Linear(4, 4)

    def forward(self, ids):
        return torch.tanh(self.mix(self.table(ids))) @ self.table.weight.T


class TiedLayers(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.second(torch.relu(self.first(x)))


class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.gamma = nn.Linear(6, 4), nn.Parameter(torch.rand(4))

    def forward(self, x):
        return self.gamma * torch.tanh(self.layer(x))


class Heads(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.norm(x + self.attention(x, x, x, need_weights=False)[0]).mean(1))


def conv(layer, *rest):
    return nn.Sequential(layer, nn.BatchNorm2d(layer.out_channels), nn.ReLU(), *rest)


def with_statistics(model):
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_var is not None
            assert module.running_mean is not None
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.weight, 0.5, 2)
    return model


IMAGE = (4, 7, 6)
NETWORKS = {
    "linear": (lambda: nn.Linear(6, 3), (6,)),
    "mlp": (lambda: nn.Sequential(nn.Linear(6, 9), nn.GELU(), nn.Linear(9, 3)), (6,)),
    "sequence": (lambda: nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2)), (4, 6)),
    "twice": (Twice, (6,)),
    "tied layers": (TiedLayers, (6,)),
    "scale": (Scale, (6,)),
    "prelu": (lambda: nn.Sequential(nn.Linear(6, 5), nn.PReLU(5), nn.Linear(5, 2)), (6,)),
    "heads": (Heads, (5, 8)),
    "strided": (
        lambda: conv(
            nn.Conv2d(4, 6, 3, stride=2, dilation=2, padding=2), nn.Flatten(), nn.LazyLinear(3)
        ),
        IMAGE,
    ),
    "grouped": (
        lambda: conv(nn.Conv2d(4, 6, 3, groups=2, bias=False), nn.Flatten(), nn.LazyLinear(3)),
        IMAGE,
    ),
    "depthwise": (
        lambda: conv(nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 2, 1), nn.Flatten()),
        IMAGE,
    ),
    "same": (
        lambda: conv(
            nn.Conv2d(4, 3, (3, 5), padding="same", dilation=2), nn.Flatten(), nn.LazyLinear(2)
        ),
        IMAGE,
    ),
    "reflect": (
        lambda: conv(
            nn.Conv2d(4, 3, 3, padding=1, padding_mode="reflect"), nn.Flatten(), nn.LazyLinear(2)
        ),
        IMAGE,
    ),
    "circular": (
        lambda: conv(
            nn.Conv2d(4, 3, 3, padding=1, padding_mode="circular"), nn.Flatten(), nn.LazyLinear(2)
        ),
        IMAGE,
    ),
    "transposed": (
        lambda: conv(
            nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2),
            nn.Conv2d(6, 1, 5),
            nn.Flatten(),
            nn.LazyLinear(3),
        ),
        IMAGE,
    ),
    "one dimension": (
        lambda: nn.Sequential(
            nn.Conv1d(4, 3, 3, padding=1),
            nn.GroupNorm(3, 3),
            nn.Tanh(),
            nn.Flatten(),
            nn.LazyLinear(2),
        ),
        (4, 9),
    ),
    "three dimensions": (
        lambda: nn.Sequential(
            nn.Conv3d(2, 3, 2, stride=2), nn.Tanh(), nn.Flatten(), nn.LazyLinear(2)
        ),
        (2, 4, 4, 4),
    ),
    "weight norm": (
        lambda: nn.Sequential(
            nn.utils.parametrizations.weight_norm(nn.Linear(6, 5)), nn.Tanh(), nn.Linear(5, 2)
        ),
        (6,),
    ),
    "in place": (
        lambda: nn.Sequential(
            nn.Conv2d(4, 3, 3),
            nn.ReLU(inplace=True),
            nn.Conv2d(3, 2, 3),
            nn.ReLU(inplace=True),
            nn.Flatten(),
        ),
        IMAGE,
    ),
}


@pytest.mark.parametrize("order", ["flat", "gram", "mixed"])
@pytest.mark.parametrize("name", NETWORKS)
def test_kernels_are_those_of_an_autograd_loop(name, order, monkeypatch):
    if order != "flat":  # factors as they are, also where the Jacobian is smaller
        monkeypatch.setattr(capture, "condensed", lambda factors: factors)
    build, shape = NETWORKS[name]
    torch.manual_seed(3)
    model = build().double()
    inputs = torch.randn(5, *shape).double()
    with torch.no_grad():
        model(inputs)
    subject = subject_of(with_statistics(model), inputs)
    batch = next(iter(subject.device_batches()))
    jacobian = loop(subject.model, inputs)
    first, second = (
        block_of(subject, subject.point, batch.mapped(lambda t, s=s: t[s]))
        for s in (slice(0, 3), slice(3, 5))
    )
    found = kernel(first, second, order)
    expected = torch.einsum("ncp,mep->ncme", jacobian[:3], jacobian[3:])
    torch.testing.assert_close(
        found, expected, rtol=1e-11, atol=1e-12 * float(expected.abs().max())
    )
    assert first.agreement < 1e-9


@pytest.mark.parametrize(
    ("name", "without"),
    [
        ("mlp", 0),
        ("twice", 0),
        ("grouped", 0),
        ("tied layers", 0),
        ("transposed", 0),
        ("scale", 1),
        ("heads", 4),
    ],
)
def test_few_parameters_lack_factors(name, without):
    build, shape = NETWORKS[name]
    torch.manual_seed(3)
    model = build().double()
    inputs = torch.randn(4, *shape).double()
    model(inputs)
    subject = subject_of(model, inputs)
    found = block_of(subject, subject.point, next(iter(subject.device_batches())))
    assert len(found.unfactored) == without


@pytest.mark.parametrize("order", ["flat", "gram"])
def test_tied_tables_are_exact(order):
    torch.manual_seed(0)
    model = Tied().double()
    ids = torch.randint(7, (4, 5))
    subject = ls.Subject(model, loss="ce", data=[(ids, ids)], dtype="float64", device="cpu")
    batch = next(iter(subject.device_batches()))
    found = block_of(subject, subject.point, batch)
    jacobian = loop(model, ids)
    expected = torch.einsum("ncp,mep->ncme", jacobian, jacobian)
    torch.testing.assert_close(kernel(found, found, order), expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    "case", ["mlp", "cnn", "residual", "multihead", "partial", "masked", "recurrent", "tied"]
)
def test_every_kind_of_network(case):
    """Studied coordinates alone, masks and frozen parameters included."""
    subject = CASES[case]().subject(dtype="float64")
    batch = next(iter(subject.device_batches()))
    found = block_of(subject, subject.point, batch)
    theta = subject.point.theta.clone().requires_grad_()
    u = torch.randn(found.outputs.shape, generator=torch.Generator().manual_seed(1)).double()

    def outputs(theta):
        from landscape.tangent.calling import called

        return called(subject, subject.network.tensors(subject.point.moved(theta)), batch)

    with subject.undisturbed(0):
        expected = torch.autograd.grad((outputs(theta) * u).sum(), theta)[0]
    pieces = subject.parameters.split(expected)
    for name, piece in pieces.items():
        if name in found.factors:
            torch.testing.assert_close(found.factors[name].pulled(u), piece, rtol=1e-9, atol=1e-10)
        else:
            assert not bool(piece.any())


def test_combined_outputs():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4))
    inputs = torch.randn(3, 6).double()
    subject = subject_of(model, inputs)
    batch = next(iter(subject.device_batches()))
    combine = torch.randn(4, 2).double()
    found = block_of(subject, subject.point, batch, combine=combine)
    jacobian = torch.einsum("ncp,cr->nrp", loop(subject.model, inputs), combine)
    expected = torch.einsum("ncp,mep->ncme", jacobian, jacobian)
    torch.testing.assert_close(kernel(found, found, "gram"), expected, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(
        found.outputs,
        F.linear(
            torch.tanh(F.linear(inputs, *model[0].parameters())), *model[2].parameters()
        ).detach()
        @ combine,
    )
