from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from landscape.diagnostics.spectrum import Spectrum
from landscape.errors import ModelError, NumericalError
from landscape.operators.hessian import HessianOperator
from landscape.subject.subject import Subject
from tests.cases import CASES, SMALL, Problem, dense_hessian, labels, normal, reference
from tests.oracles import (
    F64,
    generator,
    linear_regression_hessian,
    logistic_bound,
    relative,
    softmax_regression,
    spectrum_of,
)
from tests.selection import some

WAYS = ("reverse", "cached", "linearize", "forward")
NO_FORWARD_MODE = ("recurrent",)


def operator(name: str, dtype: str = "float64") -> HessianOperator:
    return HessianOperator(CASES[name]().subject(dtype=dtype))


def directions(count: int, size: int, seed: int = 0) -> Tensor:  # (n, count), unit columns
    gauss = torch.randn(size, count, generator=generator(seed), dtype=F64)
    return gauss / gauss.norm(dim=0)


@pytest.mark.parametrize("name", some(CASES, *SMALL))
def test_hessian_is_that_of_dense_autograd(name):
    exact = dense_hessian(name)
    assert relative(operator(name).to_dense() - exact, exact) <= 1e-12


@pytest.mark.parametrize("name", CASES)
def test_products_are_central_differences_of_the_gradient(name):
    hessian, exact = operator(name), reference(name)
    largest = np.abs(spectrum_of(dense_hessian(name))).max()
    for vector in directions(2, hessian.shape[0], seed=3).T:
        difference = hessian.matvec(vector) - exact.differences(vector)
        assert float(difference.norm()) <= 1e-6 * largest


@pytest.mark.parametrize("name", CASES)
def test_loss_and_gradient_are_those_of_dense_autograd(name):
    subject, exact = CASES[name]().subject(dtype="float64"), reference(name)
    assert torch.equal(subject.point.theta, exact.theta)
    assert subject.count == exact.count
    assert subject.loss(subject.point) == pytest.approx(float(exact.loss(exact.theta)), rel=1e-12)
    gradient = exact.gradient(exact.theta)
    assert relative(subject.gradient(subject.point) - gradient, gradient) <= 1e-11


@pytest.mark.parametrize("name", some(CASES, "mlp", "cnn", "tied", "regression"))
def test_float32_is_within_the_promised_share_of_the_largest_eigenvalue(name):
    exact = dense_hessian(name)
    found = operator(name, "float32").to_dense()
    assert found.dtype == torch.float32
    largest = np.abs(spectrum_of(exact)).max()
    assert float(torch.linalg.matrix_norm(found.double() - exact, 2)) <= 1e-4 * largest


@pytest.mark.parametrize("name", CASES)
def test_products_are_symmetric_linear_and_columnwise(name):
    hessian = operator(name)
    block = directions(3, hessian.shape[0], seed=1)
    images = hessian.matmat(block)
    scale = float(images.abs().max())
    u, v, w = block.T
    hu, hv, _ = images.T
    assert abs(float(u @ hv - v @ hu)) <= 1e-12 * scale
    mixed = hessian.matvec(2 * u - 0.5 * v)
    assert float((mixed - 2 * hu + 0.5 * hv).abs().max()) <= 1e-12 * scale
    columns = torch.stack([hessian.matvec(column) for column in (u, v, w)], dim=1)
    assert float((columns - images).abs().max()) <= 1e-13 * scale


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", some(CASES, "cnn", "tied", "self-scored", "recurrent", "masked"))
def test_every_way_gives_the_same_products_where_it_exists(name, way):
    """A way that does not exist for a network must say so; it must not return something else."""
    subject, exact = CASES[name]().subject(dtype="float64"), dense_hessian(name)
    hessian = HessianOperator(subject, product=way)
    for seed, count in enumerate((5, 1, 5)):  # set up, another size, and replayed
        block = directions(count, len(exact), seed=seed)
        try:
            found = hessian.matmat(block)
        except ModelError:
            assert way in ("linearize", "forward")
            assert name in NO_FORWARD_MODE
            return
        assert relative(found - exact @ block, exact @ block) <= 1e-11


@pytest.mark.parametrize("name", ["mlp", "tied", "masked"])
def test_restriction_is_the_block_of_the_hessian(name):
    exact, hessian = dense_hessian(name), operator(name)
    kept = torch.tensor([len(exact) - 1, 0, 17, 5])
    block = hessian.restricted(kept).to_dense()
    assert relative(block - exact[kept][:, kept], exact) <= 1e-12


def test_restriction_to_a_layer_is_the_hessian_of_that_layer_alone():
    problem = CASES["mlp"]()
    subject = problem.subject(dtype="float64")
    alone = HessianOperator(problem.subject(dtype="float64", params="2")).to_dense()
    block = subject.parameters.blocks
    layer = torch.arange(block[2].start, block[3].stop)
    assert relative(HessianOperator(subject).restricted(layer).to_dense() - alone, alone) <= 1e-12


# --- closed forms ------------------------------------------------------------------------------


def test_quadratic_has_the_same_hessian_everywhere():
    x, y = normal(20, 5, seed=0).double(), normal(20, 1, seed=1).double()
    model = nn.Linear(5, 1, bias=False, dtype=F64)
    exact = linear_regression_hessian(x)
    subject = Subject(model, "mse", (x, y), device="cpu")
    elsewhere = subject.point.moved(subject.point.theta + 10)
    for point in (subject.point, elsewhere):
        found = HessianOperator(subject, point).to_dense()
        torch.testing.assert_close(found, exact, rtol=1e-12, atol=1e-13)


def test_softmax_regression_at_zero_has_its_known_spectrum():
    model, data, values = softmax_regression()
    found = HessianOperator(Subject(model, "ce", data, device="cpu")).to_dense()
    np.testing.assert_allclose(spectrum_of(found), values, atol=1e-14)


def test_binary_logistic_regression_stays_below_its_bound():
    x = normal(50, 6, seed=2).double()
    y = (torch.arange(50) % 3 == 0).double()
    model = nn.Linear(6, 1, bias=False, dtype=F64)
    bound = logistic_bound(x)
    for scale in (0.0, 0.3, 3.0):
        model.weight.data = scale * normal(1, 6, seed=3).double()
        largest = spectrum_of(HessianOperator(Subject(model, "bce", (x, y))).to_dense())[-1]
        assert largest <= bound * (1 + 1e-12)
        if scale == 0:
            assert largest == pytest.approx(bound, rel=1e-12)


def test_a_constant_loss_has_hessian_zero():
    class Deaf(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return x * 2

    subject = Subject(Deaf(3, 3), "mse", (normal(4, 3, seed=0), normal(4, 3, seed=1)))
    assert not HessianOperator(subject).to_dense().any()


# --- batches -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mlp", "ragged", "regression", "binary", "custom-mean", "pixels"])
def test_however_the_data_are_cut_the_hessian_is_one(name):
    problem = CASES[name]()
    x, y = (torch.cat(part) for part in zip(*problem.data, strict=True))
    whole = HessianOperator(_with_data(problem, [(x, y)])).to_dense()
    ones = HessianOperator(
        _with_data(problem, list(zip(x.split(1), y.split(1), strict=True)))
    ).to_dense()
    exact = dense_hessian(name)
    assert relative(whole - exact, exact) <= 1e-12
    assert relative(ones - exact, exact) <= 1e-12


def test_the_mean_of_means_would_be_another_matrix():
    """What the test of ragged batches would let through if the cases were too kind."""
    problem = CASES["ragged"]()
    parts = [HessianOperator(_with_data(problem, [item])).to_dense() for item in problem.data]
    unweighted = sum(parts) / len(parts)
    exact = dense_hessian("ragged")
    assert relative(unweighted - exact, exact) > 0.05


def _with_data(problem: Problem, data: list) -> Subject:
    return Subject(problem.model, problem.loss, data, dtype="float64", device="cpu")


def test_a_point_carries_its_own_rest():
    """BatchNorm statistics and frozen weights are those of the point, not of the module."""
    problem = CASES["cnn"]()
    subject = problem.subject(dtype="float64")
    changed = CASES["cnn"]()
    with torch.no_grad():
        changed.model[1].running_var.mul_(3)
        changed.model[0].weight.mul_(0.5)
    other = changed.subject(dtype="float64")
    found = HessianOperator(subject, other.point).to_dense()
    expected = HessianOperator(other).to_dense()
    assert torch.equal(found, expected)
    assert relative(found - dense_hessian("cnn"), found) > 0.01


# --- operations without a second derivative ----------------------------------------------------


class NoDoubleBackward(torch.autograd.Function):
    """x³ with a backward that refuses to be differentiated, and no functorch form."""

    @staticmethod
    def forward(ctx, x):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        (x,) = ctx.saved_tensors
        return 3 * x**2 * grad


class ForwardOnly(torch.autograd.Function):
    """x³ whose backward is differentiable forward in torch.func only."""

    @staticmethod
    def forward(x):  # type: ignore[no-untyped-def]
        return x**3

    @staticmethod
    def setup_context(ctx, inputs, output):  # type: ignore[no-untyped-def]
        del output
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        (x,) = ctx.saved_tensors
        functorch: Any = torch._C._functorch  # pyright: ignore[reportAttributeAccessIssue]
        if functorch.peek_interpreter_stack() is None and torch.is_grad_enabled():
            raise NotImplementedError("no double backward outside torch.func")
        return 3 * x**2 * grad

    @staticmethod
    def jvp(ctx, tangent):  # type: ignore[no-untyped-def]
        (x,) = ctx.saved_tensors
        return 3 * x**2 * tangent


class Cubed(nn.Linear):
    def __init__(self, function: type[torch.autograd.Function]) -> None:
        super().__init__(3, 2)
        self.function = function
        self.weight.data = normal(2, 3, seed=5)
        self.bias.data = normal(2, seed=6)

    def forward(self, x: Tensor) -> Tensor:
        return self.function.apply(super().forward(x))


class Plain(Cubed):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight, self.bias) ** 3


def test_another_way_is_taken_where_the_double_backward_is_missing():
    data = (normal(6, 3, seed=0), normal(6, 2, seed=1))
    exact = HessianOperator(Subject(Plain(ForwardOnly), "mse", data, dtype="float64"))
    other = HessianOperator(Subject(Cubed(ForwardOnly), "mse", data, dtype="float64"))
    torch.testing.assert_close(other.to_dense(), exact.to_dense(), rtol=1e-11, atol=1e-12)
    assert exact.engine.way == "cached"
    assert other.engine.way == "forward"


class Branched(Cubed):
    """One branch has a second derivative, the other has not."""

    def forward(self, x: Tensor) -> Tensor:
        plain = nn.functional.linear(x, self.weight, self.bias)
        return self.function.apply(plain) + torch.sin(plain)


@pytest.mark.parametrize("network", [Cubed, Branched])
def test_a_network_without_second_derivative_is_refused_by_name(network):
    """Autograd drops such terms in silence: a missing branch must not become a smaller Hessian."""
    data = (normal(6, 3, seed=0), normal(6, 2, seed=1))
    subject = Subject(network(NoDoubleBackward), "mse", data)
    with pytest.raises(ModelError) as raised:
        HessianOperator(subject).matvec(torch.ones(8))
    text = str(raised.value)
    assert all(way in text for way in ("cached", "linearize", "forward"))
    assert "NoDoubleBackward" in text  # the operation, so that the reader can replace it


# --- the form of SciPy, and a point beside the checkpoint --------------------------------------


@pytest.mark.parametrize("name", ["mlp", "tied"])
def test_scipy_finds_the_same_extreme_eigenvalues(name):
    from scipy.sparse.linalg import eigsh

    exact = spectrum_of(dense_hessian(name))
    start = np.ones(len(exact))
    found = eigsh(operator(name).to_scipy(), k=4, which="LA", v0=start, return_eigenvectors=False)
    np.testing.assert_allclose(np.sort(found), exact[-4:], rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("name", ["mlp", "ragged", "regression"])
def test_curvlinops_computes_the_same_products(name):
    curvlinops = pytest.importorskip("curvlinops")
    problem = CASES[name]()
    model = problem.model.double().eval()
    data = [(x.double(), y.double() if y.is_floating_point() else y) for x, y in problem.data]
    loss = nn.MSELoss() if problem.loss == "mse" else nn.CrossEntropyLoss()
    theirs = curvlinops.HessianLinearOperator(
        model, loss, list(model.parameters()), data, check_deterministic=False
    )
    vector = directions(1, len(dense_hessian(name)))[:, 0]
    ours = operator(name).matvec(vector)
    torch.testing.assert_close(ours, theirs @ vector, rtol=1e-9, atol=1e-12)


def test_a_wrong_second_derivative_of_pytorch_is_refused_not_shown():
    """`weight_norm` has an asymmetric double backward on the CPU, until PyTorch mends it."""
    network = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    nn.utils.parametrizations.weight_norm(network[0])
    subject = Subject(network, "ce", (normal(10, 6, seed=0), labels(10, classes=3, seed=1)))
    question = Spectrum(top=3, bottom=1, max_probes=2, probes=2, lanczos_steps=2)
    try:
        complete, error = question.run(subject).complete, None
    except NumericalError as refusal:
        complete, error = False, refusal
    if error is None:
        assert complete
    else:
        assert "_WeightNorm" in str(error)  # the module that is to blame
        assert "--product differences" in error.hint
