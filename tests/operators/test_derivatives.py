from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from landscape.errors import NumericalError
from landscape.operators.derivatives import DerivativeCheck
from landscape.operators.gauss_newton import GaussNewtonOperator
from landscape.operators.hessian import HessianOperator
from landscape.subject.subject import Subject
from tests.cases import CASES, Transformer, classified, cnn, labels, normal, seeded, sure
from tests.oracles import generator, relative


def check(model: nn.Module, data: Any, loss: Any = "ce", **settings: Any) -> DerivativeCheck:
    found = HessianOperator(Subject(model, loss, data, **settings)).check
    assert found is not None
    return found


# --- a cube whose second derivative can be made wrong ------------------------------------------


class Slope(torch.autograd.Function):
    """3x² g, whose own backward multiplies the derivative in x by a factor."""

    @staticmethod
    def forward(g, x, factor):  # type: ignore[no-untyped-def]
        del factor
        return 3 * x**2 * g

    @staticmethod
    def setup_context(ctx, inputs, output):  # type: ignore[no-untyped-def]
        del output
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, h):  # type: ignore[no-untyped-def]
        g, x, factor = ctx.saved_tensors
        return 3 * x**2 * h, factor.to(x) * 6 * x * g * h, None


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(x, factor):  # type: ignore[no-untyped-def]
        del factor
        return x**3

    @staticmethod
    def setup_context(ctx, inputs, output):  # type: ignore[no-untyped-def]
        del output
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, g):  # type: ignore[no-untyped-def]
        x, factor = ctx.saved_tensors
        return Slope.apply(g, x, factor), None


class Mixed(torch.autograd.Function):
    """As `Slope`, with a derivative in x that takes the neighbour's gradient: not symmetric."""

    @staticmethod
    def forward(g, x):  # type: ignore[no-untyped-def]
        return 3 * x**2 * g

    @staticmethod
    def setup_context(ctx, inputs, output):  # type: ignore[no-untyped-def]
        del output
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, h):  # type: ignore[no-untyped-def]
        g, x = ctx.saved_tensors
        return 3 * x**2 * h, 6 * x * g.roll(1, -1) * h


class MixedCube(torch.autograd.Function):
    @staticmethod
    def forward(x):  # type: ignore[no-untyped-def]
        return x**3

    @staticmethod
    def setup_context(ctx, inputs, output):  # type: ignore[no-untyped-def]
        del output
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, g):  # type: ignore[no-untyped-def]
        (x,) = ctx.saved_tensors
        return Mixed.apply(g, x)


class Cubic(nn.Module):
    """x³ with a second derivative that is wrong by a factor, perhaps in float32 alone."""

    def __init__(self, factor: float = 1.0, *, single: bool = False) -> None:
        super().__init__()
        self.factor, self.single = factor, single

    def forward(self, x: Tensor) -> Tensor:
        wrong = not self.single or x.dtype == torch.float32
        return Cube.apply(x, torch.tensor(self.factor if wrong else 1.0))


class Asymmetric(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return MixedCube.apply(x)


class Nested(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 6), nn.Sequential(inner, nn.Tanh()))
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


def nested(inner: nn.Module) -> nn.Module:
    return seeded(lambda: Nested(inner), 0)


FLAT = classified((12,), (6,), 3)


@pytest.mark.parametrize("factor", [0.0, 0.5, -1.0, 0.98, 1.02])
def test_a_wrong_but_symmetric_second_derivative_is_named(factor):
    with pytest.raises(NumericalError, match=r"module body\.1\.0 \(Cubic\) is wrong") as raised:
        check(nested(Cubic(factor)), FLAT)
    assert raised.value.where == "module body.1.0 (Cubic)"
    assert "--product differences" in raised.value.hint


def test_an_asymmetric_second_derivative_is_named():
    with pytest.raises(NumericalError, match=r"module body\.1\.0 \(Asymmetric\) is wrong"):
        check(nested(Asymmetric()), FLAT)


@pytest.mark.parametrize("factor", [0.0, 0.5])
def test_one_that_is_wrong_in_float32_alone_is_named(factor):
    model = nested(Cubic(factor, single=True))
    with pytest.raises(NumericalError, match=r"module body\.1\.0 \(Cubic\) is wrong"):
        check(model, FLAT)
    assert check(model, FLAT, dtype="float64").dtype == "float64"


class InBlock(Transformer):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(6, 8), Cubic(factor), nn.Linear(8, 6))


TOKENS = labels(4, 6, classes=7, seed=1)


def test_it_is_named_in_a_transformer_block():
    data = (TOKENS, TOKENS.roll(-1, 1))
    with pytest.raises(NumericalError, match=r"module mlp\.1 \(Cubic\) is wrong"):
        check(seeded(lambda: InBlock(0.5), 0), data)
    check(seeded(lambda: InBlock(1.0), 0), data)


def test_the_loss_function_is_named():
    data = (normal(8, 4, seed=0), normal(8, 3, seed=1))

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return Cube.apply(outputs - targets, torch.tensor(0.5)).sum(1)

    with pytest.raises(NumericalError, match="the loss custom is wrong"):
        check(seeded(lambda: nn.Linear(4, 3), 0), data, loss)


def test_weight_norm_is_named_where_it_is_wrong():
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    nn.utils.parametrizations.weight_norm(model[0])
    try:
        found = check(model, FLAT)
    except NumericalError as error:
        found = error
    assert isinstance(found, DerivativeCheck) or "_WeightNorm" in found.where


class Single(nn.Module):
    """Can be evaluated in float32 only, as what calls a float32 kernel."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype != torch.float32:
            raise RuntimeError("expected scalar type Float")
        return self.inner(x)


@pytest.mark.parametrize("factor", [0.0, 0.5, -1.0])
def test_a_network_for_float32_alone_is_still_checked(factor):
    with pytest.raises(NumericalError, match=r"\(Cubic\) is wrong"):
        check(Single(nested(Cubic(factor))), FLAT)
    assert check(Single(nested(Cubic())), FLAT).dtype == "float32"


def test_what_is_computed_in_half_precision_is_said_to_be_unchecked():
    class Half(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).bfloat16().to(x.dtype)

    subject = Subject(seeded(lambda: Half(6, 3), 0), "ce", FLAT)
    assert HessianOperator(subject).check is None
    assert any("not checked" in note for note in subject.provenance()["notes"])


# --- right networks pass -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", [HessianOperator, GaussNewtonOperator])
@pytest.mark.parametrize("name", CASES)
def test_every_case_passes(name, kind):
    if kind is GaussNewtonOperator and name == "self-scored":
        pytest.skip("the loss is inside the model")
    found = kind(CASES[name]().subject()).check
    assert found is not None
    assert found.difference <= 1e-4
    assert found.transpose <= 1e-10
    assert found.precision <= 1e-4
    assert found.dtype == "float64"


@pytest.mark.parametrize("scale", [1e3, 1e-3])
@pytest.mark.parametrize("name", ["mlp", "cnn", "residual", "tied", "regression", "recurrent"])
def test_the_size_of_the_weights_does_not_matter(name, scale):
    problem = CASES[name]()
    with torch.no_grad():
        for parameter in problem.model.parameters():
            parameter.mul_(scale)
    found = HessianOperator(problem.subject()).check
    assert found is not None
    assert found.difference <= 1e-3


def test_a_nearly_flat_network_passes():
    model = seeded(lambda: nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2)), 0)
    x = normal(12, 4, seed=0)
    with torch.no_grad():
        y = model(x) + 1e-6 * normal(12, 2, seed=1)
    subject = Subject(model, "mse", (x, y))
    assert subject.loss(subject.point) < 1e-11
    found = HessianOperator(subject).check
    assert found is not None
    assert found.difference <= 1e-4


@pytest.mark.parametrize("normalised", [False, True])
def test_activations_on_their_kink_pass(normalised):
    """Zero biases and zero inputs put them there, as in a network before training."""
    model: Any = seeded(cnn, 0)
    if normalised:
        model[1] = nn.BatchNorm2d(4)  # before training: its bias is zero
        model[0].bias = None
    else:
        model[1] = nn.Identity()
        nn.init.zeros_(model[0].bias)
    x = normal(8, 1, 8, 8, seed=1).relu()
    x[0] = 0
    x[1:, :, :3] = 0  # the border of an image
    assert check(model, (x, labels(8, classes=4, seed=0))).difference <= 1e-4


class RootMeanSquare(nn.Module):
    """Computes in float32 whatever it is given, as language models do."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        inner = x.float()
        inner = inner * torch.rsqrt(inner.square().mean(-1, keepdim=True) + 1e-6)
        return self.weight * inner.to(x.dtype)


def test_a_part_in_float32_is_no_reason_for_alarm():
    """Its rounding is that of float32 also where everything else is in float64."""
    for seed in range(5):
        model = seeded(Transformer, seed)
        for name in ("norm1", "norm2", "norm3"):
            setattr(model, name, RootMeanSquare(6))
        found = check(model, (TOKENS, TOKENS.roll(-1, 1)))
        assert found.dtype == "float32"


def randomly(seed: int) -> tuple[nn.Module, Any]:
    """A small network of parts that a seed chooses, and its data."""
    draw = generator(seed)

    def chosen(*options: Any) -> Any:
        return options[int(torch.randint(len(options), (), generator=draw))]

    activation = chosen(nn.ReLU, nn.GELU, nn.Tanh, nn.SiLU, nn.Softplus, nn.LeakyReLU)
    kind = chosen("mlp", "mlp", "cnn", "tokens")
    if kind == "tokens":
        model: nn.Module = seeded(Transformer, seed)
        model.mlp = nn.Sequential(nn.Linear(6, 8), activation(), nn.Linear(8, 6))
        tokens = labels(5, 6, classes=7, seed=seed)
        return model, (tokens, tokens.roll(-1, 1))
    if kind == "cnn":
        norm = chosen(nn.Identity(), nn.BatchNorm2d(4), nn.GroupNorm(2, 4))
        pool = chosen(nn.MaxPool2d(2), nn.AvgPool2d(2))
        model = seeded(
            lambda: nn.Sequential(
                nn.Conv2d(1, 4, 3), norm, activation(), pool, nn.Flatten(), nn.Linear(36, 4)
            ),
            seed,
        )
        return model.eval(), classified((20,), (1, 8, 8), 4, seed=seed)
    norm = chosen(nn.Identity, lambda: nn.LayerNorm(9), lambda: nn.BatchNorm1d(9))
    model = seeded(
        lambda: nn.Sequential(
            nn.Linear(5, 9), norm(), activation(), nn.Linear(9, 9), activation(), nn.Linear(9, 3)
        ),
        seed,
    )
    return model, classified((20,), (5,), 3, seed=seed)


@pytest.mark.parametrize(
    "seeds", [range(20), pytest.param(range(20, 1000), marks=pytest.mark.full)], ids=["20", "1000"]
)
def test_no_false_alarm_on_random_networks(seeds):
    for seed in seeds:
        model, data = randomly(seed)
        found = check(model, data)
        assert found.difference <= 1e-4, seed
        assert found.transpose <= 1e-9, seed


@pytest.mark.full
def test_no_false_alarm_in_float32():
    for seed in range(300):
        model, data = randomly(seed)
        if isinstance(model, Transformer):
            continue
        assert check(Single(model), data).dtype == "float32"


# --- differences instead -----------------------------------------------------------------------


@pytest.mark.parametrize("factor", [0.0, 0.5])
def test_differences_give_the_hessian_of_the_mended_network(factor):
    mended = HessianOperator(Subject(nested(Cubic()), "ce", FLAT, dtype="float64")).to_dense()
    subject = Subject(nested(Cubic(factor)), "ce", FLAT)
    found = HessianOperator(subject, product="differences")
    assert found.check is None
    assert relative(found.to_dense().double() - mended, mended) <= 1e-5
    assert found.engine.way == "differences"


def test_differences_give_the_gauss_newton_matrix_of_the_mended_network():
    mended = GaussNewtonOperator(Subject(nested(Cubic()), "ce", FLAT, dtype="float64")).to_dense()
    subject = Subject(nested(Cubic(0.5)), "ce", FLAT)
    found = GaussNewtonOperator(subject, product="differences").to_dense()
    assert relative(found.double() - mended, mended) <= 1e-5


def test_gauss_newton_needs_no_second_derivative_of_the_network():
    exact = GaussNewtonOperator(Subject(nested(Cubic()), "ce", FLAT, dtype="float64")).to_dense()
    found = GaussNewtonOperator(Subject(nested(Cubic(0.5)), "ce", FLAT, dtype="float64"))
    assert relative(found.to_dense() - exact, exact) <= 1e-12


# --- remembered, and harmless ------------------------------------------------------------------


def test_it_is_asked_once_for_a_subject(monkeypatch):
    from landscape.operators import curvature

    calls = []
    right = curvature.check_derivatives
    monkeypatch.setattr(curvature, "check_derivatives", lambda one: calls.append(one) or right(one))
    subject = CASES["mlp"]().subject()
    for _ in range(3):
        HessianOperator(subject).matvec(torch.ones(subject.parameters.size))
    assert len(calls) == 1


def test_the_point_is_left_where_it_was():
    subject = CASES["cnn"]().subject()
    before = subject.point.theta.clone()
    operator = HessianOperator(subject)
    assert operator.check is not None
    assert torch.equal(operator.point.theta, before)
    assert operator.point is subject.point


class FaultyWhereLarge(torch.autograd.Function):
    """A smooth activation whose slope beyond 2 is not differentiated."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.where(x > 2, x**3, 6 * x * x - 12 * x + 8)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * torch.where(x > 2, 3 * x.detach() ** 2, 12 * x - 12)


class Large(nn.Module):
    def forward(self, x):
        return FaultyWhereLarge.apply(x)


@pytest.mark.parametrize("batch", [64, 16])
def test_a_fault_that_shows_late_in_the_data_is_seen(batch):
    inputs = 0.3 * torch.randn(64, 6, generator=generator(0))
    inputs[16:] *= 10
    model = nn.Sequential(nn.Linear(6, 5), Large(), nn.Linear(5, 1))
    data = [(part, torch.zeros(len(part), 1)) for part in inputs.split(batch)]
    with pytest.raises(NumericalError, match="second derivative"):
        _ = HessianOperator(Subject(model, "mse", data)).check


@pytest.mark.parametrize("surer", [1.8, 2.0])
def test_a_loss_that_float32_rounds_away_is_noted_and_not_called_wrong(surer):
    model, data = sure(64)
    subject = Subject(model, "ce", [(surer * x, y) for x, y in data])
    found = HessianOperator(subject).check
    assert found is not None
    assert found.precision > 0.05
    assert any("differ by" in note for note in subject.provenance()["notes"])
