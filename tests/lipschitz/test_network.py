"""Bounds over graphs: closed forms, refusals by name, and never below what is attained."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import landscape as ls
from landscape.lipschitz.attained import attained
from landscape.lipschitz.certified import certify
from landscape.lipschitz.network import NetworkBound, network_bound
from tests.selection import full, some


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def filled(model: nn.Module, seed: int = 0) -> Any:
    """The network with weights of a seed, and statistics that are not those of a start."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        fan = max(1, parameter[0].numel()) if parameter.dim() > 1 else 4
        noise = torch.randn(parameter.shape, generator=generator) / math.sqrt(fan)
        parameter.data = noise + (parameter.dim() == 1) * 0.7
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_var = torch.rand(module.num_features, generator=generator) + 0.3
            module.running_mean = torch.randn(module.num_features, generator=generator)
    return model.eval()


def summed(outputs: Tensor, targets: Tensor) -> Tensor:
    return outputs.flatten(1).sum(1) - targets


def subject_of(model: nn.Module, inputs: Tensor) -> ls.Subject:
    data = [(inputs, torch.zeros(len(inputs)))]
    return ls.Subject(model.eval(), summed, data, device="cpu", dtype="float64")


def bound_of(model: nn.Module, inputs: Tensor, **settings: Any) -> NetworkBound:
    subject = subject_of(model, inputs)
    generator = torch.Generator().manual_seed(0)
    return network_bound(subject, subject.point, generator=generator, **settings)


def certified(name: str, chain: Any) -> float:
    del name
    return certify(chain, steps=200, seconds=None).upper


class Wrapped(nn.Module):
    """A function as a network."""

    def __init__(self, function: Any, *modules: nn.Module) -> None:
        super().__init__()
        self.function = function
        self.inner = nn.ModuleList(modules)
        self.unused = nn.Parameter(torch.zeros(1))  # a network has weights

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, *self.inner)


def upper(function: Any, *shape: int, **settings: Any) -> float:
    bound = bound_of(Wrapped(function), drawn(3, *shape), **settings)
    assert not bound.refused
    return bound.upper


# --- closed forms ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "shape", "expected"),
    [
        (lambda x: 2 * x - 3, (5,), 2),
        (lambda x: x[:, :2] / 4, (5,), 0.25),
        (lambda x: x.mean(1), (16,), 0.25),
        (lambda x: x.sum(1), (16,), 4),
        (lambda x: torch.cat([x, 2 * x], 1), (5,), math.sqrt(5)),
        (lambda x: torch.cat([torch.relu(x), torch.sin(x)], 1), (5,), math.sqrt(2)),
        (lambda x: x.repeat(1, 3), (5,), math.sqrt(3)),
        (lambda x: x + x.flip(1), (2,), 2),
        (lambda x: x - x.flip(1), (2,), 2),
        (lambda x: x - x.mean(1, keepdim=True), (8,), 1),
        (lambda x: x.cumsum(1), (2,), (1 + math.sqrt(5)) / 2),
        (lambda x: torch.relu(x) - torch.relu(x - 1), (3,), 2),
        (lambda x: F.softmax(x, 1), (7,), 0.5),
        (lambda x: F.log_softmax(x, 1), (9,), 3),
        (lambda x: torch.logsumexp(x, 1), (9,), 1),
        (lambda x: F.layer_norm(x, (6,), eps=1e-5), (6,), 1 / math.sqrt(1e-5)),
        (lambda x: F.group_norm(x, 2, eps=1e-3), (4, 3), 1 / math.sqrt(1e-3)),
        (lambda x: F.rms_norm(x, (6,), eps=1e-2), (6,), 10),
        (lambda x: F.max_pool2d(x, 3, 2), (1, 9, 9), 2),
        (lambda x: F.max_pool2d(x, 2), (1, 8, 8), 1),
        (lambda x: F.max_pool2d(x, 3, 2, 1), (1, 8, 8), 2),
        (lambda x: F.max_pool1d(x, 3, 1), (1, 9), math.sqrt(3)),
        (lambda x: F.adaptive_max_pool2d(x, 2), (1, 5, 5), 2),
        (lambda x: F.avg_pool2d(x, 2), (1, 8, 8), 0.5),
        (lambda x: F.adaptive_avg_pool2d(x, 1), (2, 8, 8), 0.125),
        (lambda x: F.interpolate(x, scale_factor=2), (1, 3, 3), 2),
        (lambda x: F.pad(x, (1, 1), mode="circular"), (1, 2), math.sqrt(2)),
        (lambda x: F.pad(x, (1, 1), value=3.0), (1, 5), 1),
        (lambda x: F.leaky_relu(x, 0.2), (5,), 1),
        (lambda x: F.hardtanh(x).abs(), (5,), 1),
        (lambda x: x.masked_fill(torch.tensor([True, False]), 0.0) * 3, (2,), 3),
        (lambda x: torch.maximum(x, 2 * x), (2,), math.sqrt(5)),
        (lambda x: F.dropout(x, 0.5, training=False), (2,), 1),
    ],
    ids=lambda v: None if callable(v) else str(v)[:6],
)
def test_closed_forms(function, shape, expected):
    assert upper(function, *shape) == pytest.approx(expected, rel=1e-6)


def test_rms_norm_without_an_epsilon_is_one_function_in_every_precision():
    """float64 has an ε of its own, with which pairs near 0 lie far above what float32 can reach."""
    model = nn.RMSNorm(6)
    model.weight.data = torch.tensor([1.0, -2.0, 0.5, 1.5, 0.1, 1.0])
    data = [(1e-5 * drawn(5, 6), torch.zeros(5))]
    subject = ls.Subject(model, summed, data, device="cpu")
    generator = torch.Generator().manual_seed(0)
    bound = network_bound(subject, subject.point, generator=generator).upper
    assert bound == pytest.approx(2 / math.sqrt(torch.finfo(torch.float32).eps), rel=1e-6)
    found = attained(subject, subject.point, starts=2, steps=20, generator=generator)
    assert 0.9 * bound < found.value <= bound


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.linalg.vector_norm(x, ord=0, dim=1),
        lambda x: torch.linalg.vector_norm(x, ord=1, dim=1),
        lambda x: F.softplus(x, threshold=1),  # jumps by 0.3 at 1
    ],
)
def test_what_is_steeper_than_it_looks_is_refused(function):
    found = bound_of(Wrapped(function), drawn(3, 5).double())
    assert len(found.refused) == 1
    assert found.upper == math.inf


def test_overlapping_averages_are_exact():
    module = nn.AvgPool2d(3, 2, 1)
    columns = module(torch.eye(49).double().reshape(49, 1, 7, 7)).flatten(1).T
    exact = float(torch.linalg.matrix_norm(columns, 2))
    assert upper(lambda x: F.avg_pool2d(x, 3, 2, 1), 1, 7, 7) == pytest.approx(exact, rel=1e-7)


def test_the_sum_of_both_relus_is_one_as_a_chain():
    """|x| = relu(x) + relu(−x): 2 by products, 1 where both are one layer of a chain."""
    both = Wrapped(lambda x: torch.relu(x) + torch.relu(-x))
    inputs = drawn(3, 1)
    assert bound_of(both, inputs).upper == pytest.approx(2, rel=1e-9)
    tight = bound_of(both, inputs, certify=certified)
    assert 1 <= tight.upper <= 1.02
    assert (1, 2, 1) in [one.chain.widths for one in tight.chains]


def test_gelu_is_steeper_than_one():
    steep = 1.1289041
    assert upper(lambda x: F.gelu(x), 3) == pytest.approx(steep, abs=1e-6)
    assert upper(lambda x: F.gelu(x), 3) >= steep


def test_a_linear_network_is_its_product_matrix():
    model = filled(nn.Sequential(nn.Linear(6, 9), nn.Linear(9, 5), nn.Linear(5, 4)))
    matrix = (model[2].weight @ model[1].weight @ model[0].weight).detach()
    exact = float(torch.linalg.matrix_norm(matrix.double(), 2))
    assert bound_of(model, drawn(2, 6)).upper == pytest.approx(exact, rel=1e-6)


def test_convolution_and_batch_norm_are_one_map():
    model = filled(nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3)))
    x = torch.eye(2 * 25).reshape(50, 2, 5, 5)
    with torch.no_grad():
        matrix = (model(x) - model(torch.zeros(1, 2, 5, 5))).flatten(1)
    exact = float(torch.linalg.matrix_norm(matrix.double(), 2))
    bound = bound_of(model, drawn(2, 2, 5, 5))
    assert bound.upper == pytest.approx(exact, rel=1e-5)
    assert bound.upper < math.prod(one.upper for one in bound.layers)


@pytest.mark.parametrize("mode", ["zeros", "circular", "reflect", "replicate"])
def test_padding_modes_of_modules(mode):
    model = filled(nn.Conv2d(2, 3, 3, padding=1, stride=2, padding_mode=mode))
    x = torch.eye(2 * 36).reshape(72, 2, 6, 6)
    with torch.no_grad():
        matrix = (model(x) - model(torch.zeros(1, 2, 6, 6))).flatten(1)
    exact = float(torch.linalg.matrix_norm(matrix.double(), 2))
    assert bound_of(model, drawn(2, 2, 6, 6)).upper == pytest.approx(exact, rel=1e-5)


def test_a_hundredfold_first_layer_is_a_hundredfold_bound():
    """A recursion that forgets the first layer says otherwise."""
    model = filled(nn.Sequential(*[m for _ in range(3) for m in (nn.Linear(8, 8), nn.ReLU())]))
    before = bound_of(model, drawn(2, 8), certify=certified).upper
    model[0].weight.data *= 100
    after = bound_of(model, drawn(2, 8), certify=certified).upper
    assert after == pytest.approx(100 * before, rel=0.02)
    subject = subject_of(model, drawn(4, 8))
    found = attained(subject, subject.point, generator=torch.Generator().manual_seed(0))
    assert found.value <= after


def test_rescaling_undoes_what_was_scaled_between_layers():
    """Weights D W₁ and W₂ D⁻¹ make one network, whose bound hardly depends on D."""
    model = filled(nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Conv2d(5, 4, 3)))
    inputs = drawn(2, 3, 40, 40)
    plain = bound_of(model, inputs).upper
    scales = torch.tensor([100.0, 0.01, 3.0, 1.0, 30.0])
    model[0].weight.data *= scales.reshape(-1, 1, 1, 1)
    model[0].bias.data *= scales
    model[2].weight.data /= scales.reshape(1, -1, 1, 1)
    bound = bound_of(model, inputs)
    assert bound.upper <= 1.05 * plain
    assert math.prod(one.upper for one in bound.layers) > 10 * bound.upper


# --- what has no bound -------------------------------------------------------------------------


@torch.library.custom_op("landscape_tests::cube_root", mutates_args=())
def cube_root(x: Tensor) -> Tensor:
    return x.abs().pow(1 / 3) * x.sign()


@cube_root.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


def test_an_unknown_operation_is_refused_by_name():
    model = nn.Sequential(nn.Linear(4, 4), Wrapped(lambda x: cube_root(x)), nn.Linear(4, 2))
    bound = bound_of(model, drawn(2, 4))
    assert bound.upper == math.inf
    (refusal,) = bound.refused
    assert refusal.told == "cube_root at 1"
    assert "no rule" in refusal.reason
    assert [one.name for one in bound.layers] == ["0", "2"]


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda x: x / x.norm(dim=1, keepdim=True), "div"),
        (lambda x: torch.hardshrink(x) if hasattr(torch, "hardshrink") else x, "hardshrink"),
        (lambda x: x.round(), "round"),
        (lambda x: torch.fft.fft(x).abs(), "fft_fft"),
    ],
)
def test_steep_operations_are_refused(function, name):
    bound = bound_of(Wrapped(function), drawn(2, 4))
    assert bound.upper == math.inf
    assert any(name in one.operation for one in bound.refused)


@pytest.mark.parametrize(
    "function",
    [lambda x: x * x, *full(lambda x: x**3, torch.exp, lambda x: x * torch.sigmoid(x))],
)
def test_what_is_steep_far_away_holds_on_the_ball(function):
    model, inputs = Wrapped(function), drawn(4, 3)
    everywhere = bound_of(model, inputs, domain="global")
    assert everywhere.upper == math.inf
    assert everywhere.refused[0].local
    ball = bound_of(model, inputs)
    assert ball.domain == "ball"
    assert ball.radius == pytest.approx(float(inputs.norm(dim=1).max()), rel=1e-6)
    assert math.isfinite(ball.upper)
    assert ball.unbounded
    subject = subject_of(model, inputs)
    generator = torch.Generator().manual_seed(1)
    low = attained(subject, subject.point, radius=ball.radius, generator=generator)
    assert low.value <= ball.upper


def test_a_square_on_the_ball_is_tight():
    bound = bound_of(Wrapped(lambda x: x * x), torch.tensor([[3.0, 0.0]]))
    assert bound.upper == pytest.approx(6, rel=1e-9)


# --- never below what is attained --------------------------------------------------------------


class Residual(nn.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width))
        self.one = nn.Conv2d(width, width, 3, padding=1, groups=2)
        self.norm = nn.BatchNorm2d(width)
        self.two = nn.Conv2d(width, width, 3, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.head = nn.Linear(2 * width, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.stem(x))
        y = self.two(self.act(self.norm(self.one(x))))
        y += x
        y = F.max_pool2d(self.act(y), 3, 2, 1)
        return self.head(torch.cat([y.mean((2, 3)), y.amax((2, 3))], 1))


class Attention(nn.Module):
    def __init__(self, *, explicit: bool = False, first: bool = True) -> None:
        super().__init__()
        self.embed = nn.Linear(5, 8)
        self.explicit = explicit
        self.norm = nn.LayerNorm(8) if first else nn.Identity()
        self.qkv = nn.Linear(8, 24)
        self.mlp = nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        parts = self.qkv(self.norm(x)).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        q, k, v = parts.unbind(0)
        if self.explicit:
            y = torch.softmax(q @ k.transpose(-2, -1) / 2, -1) @ v
        else:
            y = F.scaled_dot_product_attention(q, k, v)
        x = x + y.transpose(1, 2).flatten(2)
        return self.head((x + self.mlp(x)).mean(1))


def mlp(seed: int) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    kinds = [nn.ReLU, nn.GELU, nn.Tanh, nn.SiLU, nn.Mish, nn.ELU, nn.PReLU, nn.Hardswish, nn.SELU]
    widths = torch.randint(2, 9, (4,), generator=generator).tolist()
    layers: list[nn.Module] = []
    for before, after in zip([3, *widths], [*widths, 2], strict=True):
        chosen = kinds[int(torch.randint(len(kinds), (1,), generator=generator))]
        layers += [nn.Linear(before, after), chosen()]
    return nn.Sequential(*layers[:-1])


NETWORKS = {
    "residual": (Residual, (1, 6, 6)),
    "attention": (Attention, (4, 5)),
    "explicit attention": (lambda: Attention(explicit=True), (4, 5)),
    "attention without norm": (lambda: Attention(first=False), (4, 5)),
    **{f"mlp {seed}": ((lambda seed=seed: mlp(seed)), (3,)) for seed in range(6)},
}


def check(make: Any, shape: tuple[int, ...], seed: int) -> None:
    model = filled(make(), seed)
    inputs = drawn(4, *shape, seed=seed)
    bound = bound_of(model, inputs, certify=certified)
    assert not bound.refused
    for layer in bound.layers:
        assert not layer.lower > layer.upper, layer
    subject = subject_of(model, inputs)
    radius = bound.radius if math.isfinite(bound.radius) else None
    generator = torch.Generator().manual_seed(seed)
    found = attained(subject, subject.point, radius=radius, starts=4, steps=40, generator=generator)
    assert 0 < found.value <= bound.upper


@pytest.mark.parametrize("name", some(NETWORKS, "residual", "attention", "mlp 0"))
def test_never_below_what_is_attained(name):
    check(*NETWORKS[name], seed=0)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(1, 21))
@pytest.mark.parametrize("name", list(NETWORKS)[:4])
def test_never_below_what_is_attained_full(name, seed):
    check(*NETWORKS[name], seed=seed)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(6, 150))
def test_random_networks(seed):
    check(lambda: mlp(seed), (3,), seed)


def test_a_small_ball_is_nearly_the_jacobian():
    """Where a normalisation's variance cannot vanish, its constant is 1/√(v + ε)."""
    model = Wrapped(lambda x: F.layer_norm(x + torch.arange(4.0), (4,)))
    bound = bound_of(model, drawn(2, 4), domain="ball", radius=1e-4)
    spread = float(torch.arange(4.0).var(unbiased=False))
    assert bound.upper == pytest.approx(1 / math.sqrt(spread), rel=1e-3)


def test_the_least_variance_on_a_ball():
    """Rows within 1 of (0, 1, 2, 3), which is √5 from its mean, keep at least √5 − 1 of that."""
    model = Wrapped(lambda x: F.layer_norm(x + torch.arange(4.0), (4,)))
    bound = bound_of(model, drawn(2, 4), domain="ball", radius=1.0)
    least = (math.sqrt(5) - 1) ** 2 / 4 + 1e-5
    assert bound.upper == pytest.approx(1 / math.sqrt(least), rel=1e-6)


def test_the_gains_of_attention():
    """Rows of queries, keys and values all lie within R of 0: the bound, written out."""
    model = Wrapped(lambda x: F.scaled_dot_product_attention(x, x, x))
    bound = bound_of(model, drawn(2, 5, 9), radius=1.7)
    scale, reach, columns = 1 / 3, 1.7, math.sqrt(5)
    gains = (scale * reach**2, scale * reach**2 * columns, columns)
    (layer,) = bound.layers
    assert layer.upper == pytest.approx(math.hypot(*gains), rel=1e-9)
    assert bound.upper == pytest.approx(sum(gains), rel=1e-9)


@pytest.mark.parametrize(
    ("function", "refused"),
    [
        (lambda h: (h[:, :2].mul_(5), h)[1], True),
        (lambda h: (h.view(-1).mul_(5), h)[1], True),
        (lambda h: h[:, :2].mul_(5), False),
        (lambda h: h.mul_(5), False),
    ],
)
def test_writes_into_what_is_read_again_are_refused(function, refused):
    linear = filled(nn.Linear(3, 4))
    model = Wrapped(lambda x, inner: function(inner(x)), linear)
    found = bound_of(model, drawn(2, 3))
    assert bool(found.refused) == refused
    assert (found.upper == math.inf) == refused


def test_token_ids_begin_at_their_embeddings():
    model = filled(nn.Sequential(nn.Embedding(7, 4), nn.Flatten(), nn.Linear(12, 2)))
    bound = bound_of(model, torch.randint(7, (3, 3)))
    exact = float(torch.linalg.matrix_norm(model[2].weight.detach().double(), 2))
    assert bound.upper == pytest.approx(exact, rel=1e-6)


def test_the_subject_is_left_as_it_was():
    model = filled(Residual())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.train()
    subject = subject_of(model, drawn(2, 1, 6, 6))
    model.train()
    network_bound(subject, subject.point, generator=torch.Generator())
    assert model.training
    assert all(torch.equal(before[name], one) for name, one in model.state_dict().items())
