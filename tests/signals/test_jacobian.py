from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from landscape.linalg.pairs import NOISE
from landscape.operators.jacobian import OUTPUT, InputJacobian
from landscape.signals import jacobian as module
from landscape.signals.jacobian import Jacobian, jacobian
from landscape.signals.samples import UnavailableError
from landscape.subject.subject import Subject
from tests.cases import CASES
from tests.oracles import F64, generator, orthogonal
from tests.signals.problems import deep, samples_of


def of(model: nn.Module, x: Tensor, y: Tensor, names: list[str], *, most: int = 4) -> Jacobian:
    subject = Subject(model, "mse", (x, y))
    return jacobian(samples_of(subject), names, most=most, generator=generator(0))


def product(weights: list[Tensor], *, most: int = 2) -> Jacobian:
    """The Jacobian of a deep linear network, as that of a float64 one."""
    size = weights[0].shape[1]
    x = torch.randn(most, size, generator=generator(5), dtype=F64)
    names = [str(place) for place in range(len(weights))]
    return of(deep(weights), x, torch.zeros(most, len(weights[-1]), dtype=F64), names, most=most)


def test_orthogonal_products_are_isometries():
    found = product([orthogonal(40, seed) for seed in range(20)])
    for one in found.layers:
        assert one.mean_square.value == pytest.approx(1, abs=1e-12)
        assert one.gap is not None
        assert one.gap.value <= 1e-6
        assert one.condition is not None
        assert one.condition.value == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(found.values, 1, atol=1e-6)


@pytest.mark.parametrize("depth", [1, 4, 10])
def test_gaussian_products_have_the_moments_of_fuss_and_catalan(depth):
    """m₂/m₁² = L + 1 and s²_max → (L + 1)^(L+1) / L^L."""
    ratios, largest = [], []
    for seed in range(3):
        draw = generator(100 * depth + seed)
        weights = [
            torch.randn(200, 200, generator=draw, dtype=F64) / math.sqrt(200) for _ in range(depth)
        ]
        values = np.square(product(weights, most=1).values[0])
        ratios.append(np.square(values).mean() / values.mean() ** 2)
        largest.append(values.max())
    assert np.mean(ratios) == pytest.approx(depth + 1, rel=0.12)
    edge = (depth + 1) ** (depth + 1) / depth**depth
    assert np.mean(largest) == pytest.approx(edge, rel=0.25)


def test_relu_networks_keep_the_mean_square():
    """He: E‖J‖²_F / n = 1."""
    squares = []
    for seed in range(5):
        draw = generator(seed)
        weights = [
            torch.randn(128, 128, generator=draw, dtype=F64) * math.sqrt(min(layer, 2) / 128)
            for layer in range(1, 11)  # the first sees all of the input
        ]
        model = deep(weights, nn.ReLU())
        x = torch.randn(4, 128, generator=draw, dtype=F64)
        found = of(model, x, torch.zeros(4, 128, dtype=F64), [])
        squares.append(found.layers[-1].mean_square.value)
    assert np.mean(squares) == pytest.approx(1, abs=4 * float(np.std(squares)) / math.sqrt(5))


@pytest.mark.parametrize("name", ["mlp", "cnn", "residual", "regression", "recurrent", "multihead"])
def test_it_is_the_jacobian_of_autograd(name):
    problem = CASES[name]()
    subject = problem.subject(dtype="float64")
    batch = samples_of(subject).batches[0].head(2)
    if not next(iter(batch.tensors())).is_floating_point():
        pytest.skip("no real inputs")
    with subject.undisturbed(0):
        found = InputJacobian(subject, subject.point, batch, [])
        dense = found.dense(OUTPUT).detach()
        model = problem.model.double().eval()
        for row in range(2):
            x = batch.args[0][row]
            exact = torch.autograd.functional.jacobian(lambda x: model(x[None])[0], x)
            torch.testing.assert_close(
                dense[row], exact.reshape(-1, x.numel()), rtol=1e-8, atol=1e-12
            )


def test_a_language_models_input_is_its_embedding():
    samples = samples_of(CASES["tied"]().subject(dtype="float64"))
    found = jacobian(samples, ["attention.out", "head"], most=2, generator=generator(0))
    assert found.origin == "embedding"
    assert found.inputs == 6 * 6
    assert [one.name for one in found.layers] == ["attention.out", "output"]  # that of the head
    assert found.layers[-1].outputs == 6 * 7


def test_what_is_too_large_is_probed(monkeypatch):
    weights = [torch.randn(30, 30, generator=generator(s), dtype=F64) / 5 for s in range(3)]
    whole = product(weights, most=3)
    monkeypatch.setattr(module, "DENSE", 10)
    found = product(weights, most=3)
    for probed, exact in zip(found.layers, whole.layers, strict=True):
        low, high = probed.mean_square.solver or (0.0, 0.0)
        assert low <= exact.mean_square.value <= high
        assert probed.median is probed.condition is None
    searched, largest = found.layers[-1].largest, whole.layers[-1].largest
    assert searched is not None
    assert largest is not None
    assert searched.interval[0] <= largest.value * (1 + 1e-9)
    assert searched.value == pytest.approx(largest.value, rel=1e-3)
    assert searched.residual is not None
    assert found.values.size == 0


def test_the_noise_of_products_is_in_the_doubt_of_the_largest(monkeypatch):
    """Of eight inputs Lanczos finds all: what is left of the residual is less than rounding."""
    monkeypatch.setattr(module, "DENSE", 10)
    weight = torch.randn(6, 8, generator=generator(4))
    x = torch.randn(2, 8, generator=generator(5))
    found = of(deep([weight]), x, torch.zeros(2, 6), []).layers[-1].largest
    assert found is not None
    low, high = found.interval
    noise = NOISE * torch.finfo(torch.float32).eps * found.value**2
    assert found.residual is not None
    assert found.residual < noise
    assert (high**2 - low**2) / 2 >= noise
    assert low <= float(torch.linalg.svdvals(weight.double())[0]) <= high


def test_a_direction_that_does_not_arrive_is_told():
    weights = [torch.diag(torch.tensor([1.0, 1, 0], dtype=F64))]
    (found,) = product(weights).layers
    assert found.condition is not None
    assert found.condition.kind == "lower_bound"
    assert found.condition.interval[1] == math.inf
    assert "does not arrive" in found.condition.method


@pytest.mark.parametrize(("between", "gain"), [(nn.Tanh, 1.1), (nn.ReLU, 1.4)])
def test_in_single_precision_the_values_lie_within_what_rounding_leaves(between, gain):
    draw = generator(3)
    weights = [gain / 8 * torch.randn(64, 64, generator=draw) for _ in range(20)]
    weights[-1] = weights[-1][:10]
    x, y = torch.randn(4, 64, generator=draw), torch.zeros(4, 10)
    single = of(deep(weights, between()), x, y, [])
    double = of(deep([one.double() for one in weights], between()), x.double(), y.double(), [])
    assert (single.lower <= double.values).all()
    assert (double.values <= single.upper).all()
    assert (single.upper - single.lower <= 1e-4 * single.values.max()).all()
    (rough,), (exact,) = single.layers, double.layers
    assert rough.condition is not None
    assert exact.condition is not None
    low, high = rough.condition.interval
    assert low <= exact.condition.value <= high
    assert rough.condition.kind == "estimate"
    assert low < high


def test_networks_that_mix_samples_are_refused():
    class Mixing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x - x.mean(0))

    x = torch.randn(6, 3, generator=generator(1))
    with pytest.raises(UnavailableError, match="other samples"):
        of(Mixing(), x, x, [])


@pytest.mark.full
def test_coverage_of_the_mean_square(monkeypatch):
    """Of E‖J‖²_F / n over inputs, with random signs: a network of one hidden layer."""
    monkeypatch.setattr(module, "DENSE", 1)
    monkeypatch.setattr(module, "SEARCHED", 0)
    weights = [torch.randn(8, 6, generator=generator(7), dtype=F64),
               torch.randn(5, 8, generator=generator(8), dtype=F64)]  # fmt: skip
    model = deep(weights, nn.Tanh())
    x = torch.randn(20_000, 6, generator=generator(9), dtype=F64)
    slope = 1 - torch.tanh(x @ weights[0].T) ** 2
    gram = weights[1].T @ weights[1]
    inner = weights[0] @ weights[0].T
    exact = float(torch.einsum("bi,ij,bj,ij->b", slope, gram, slope, inner).mean()) / 5
    hits = 0
    for seed in range(2000):
        draw = torch.randn(16, 6, generator=generator(1000 + seed), dtype=F64)
        subject = Subject(model, "mse", (draw, torch.zeros(16, 5, dtype=F64)))
        found = jacobian(samples_of(subject), [], most=16, generator=generator(seed))
        low, high = found.layers[-1].mean_square.interval
        hits += low <= exact <= high
    assert hits >= 0.93 * 2000
