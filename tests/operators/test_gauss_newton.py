from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from landscape.errors import ModelError
from landscape.operators.gauss_newton import GaussNewtonOperator
from landscape.operators.hessian import HessianOperator
from landscape.subject.subject import Subject
from tests.cases import (
    CASES,
    SEPARABLE,
    SMALL,
    dense_gauss_newton,
    dense_hessian,
    labels,
    normal,
    seeded,
)
from tests.operators.test_hessian import (
    Branched,
    Cubed,
    ForwardOnly,
    NoDoubleBackward,
    Plain,
    directions,
)
from tests.oracles import F64, relative, spectrum_of
from tests.selection import some


def operator(name: str, dtype: str = "float64") -> GaussNewtonOperator:
    return GaussNewtonOperator(CASES[name]().subject(dtype=dtype))


@pytest.mark.parametrize("name", some(SEPARABLE, *SMALL))
def test_matrix_is_the_sandwich_of_the_closed_form_curvature(name):
    exact = dense_gauss_newton(name)
    assert relative(operator(name).to_dense() - exact, exact) <= 1e-11


@pytest.mark.parametrize("name", ["mlp", "tied", "masked", "ignored"])
def test_it_is_not_the_hessian_of_a_network_that_is_not_linear(name):
    """So that the agreement above cannot come from testing the Hessian twice."""
    exact = dense_hessian(name)
    assert relative(dense_gauss_newton(name) - exact, exact) > 0.01


@pytest.mark.parametrize("name", SEPARABLE)
def test_it_is_positive_semidefinite_symmetric_linear_and_columnwise(name):
    matrix = operator(name)
    block = directions(4, matrix.shape[0], seed=1)
    images = matrix.matmat(block)
    scale = float(images.abs().max())
    gram = block.T @ images
    assert (gram.diagonal() >= -1e-13 * scale).all()
    assert float((gram - gram.T).abs().max()) <= 1e-12 * scale
    mixed = matrix.matvec(block @ torch.tensor([1.0, -2, 3, 0.5], dtype=F64))
    expected = images @ torch.tensor([1.0, -2, 3, 0.5], dtype=F64)
    assert float((mixed - expected).abs().max()) <= 1e-11 * scale
    columns = torch.stack([matrix.matvec(column) for column in block.T], dim=1)
    assert float((columns - images).abs().max()) <= 1e-12 * scale


@pytest.mark.parametrize("name", ["mlp", "tied", "ragged", "regression", "binary"])
def test_no_eigenvalue_is_negative(name):
    values = spectrum_of(operator(name).to_dense())
    assert values[0] >= -1e-13 * values[-1]
    assert values[-1] > 0


@pytest.mark.parametrize("name", ["mlp", "cnn", "tied", "ragged", "ignored", "regression"])
def test_float32_is_within_the_promised_share_of_the_largest_eigenvalue(name):
    exact = dense_gauss_newton(name)
    found = operator(name, "float32").to_dense().double()
    largest = spectrum_of(exact)[-1]
    assert float(torch.linalg.matrix_norm(found - exact, 2)) <= 1e-4 * largest


@pytest.mark.parametrize("loss", ["ce", "mse", "bce"])
@pytest.mark.parametrize("depth", ["one layer", "frozen first layer"])
def test_it_is_the_hessian_for_a_network_linear_in_its_parameters(loss, depth):
    model: nn.Module = seeded(lambda: nn.Linear(4, 3), 0)
    if depth == "frozen first layer":
        first = seeded(lambda: nn.Linear(4, 4), 1).requires_grad_(False)
        model = nn.Sequential(first, nn.Tanh(), model)
    x = normal(9, 4, seed=0)
    targets = {
        "ce": labels(9, classes=3, seed=1),
        "mse": normal(9, 3, seed=1),
        "bce": torch.rand(9, 3, generator=torch.Generator().manual_seed(1)),
    }
    data = list(zip(x.split(5), targets[loss].split(5), strict=True))
    subject = Subject(model, loss, data, dtype="float64")
    hessian = HessianOperator(subject).to_dense()
    found = GaussNewtonOperator(subject).to_dense()
    assert relative(found - hessian, hessian) <= 1e-12


def test_it_is_the_hessian_where_the_residuals_vanish():
    """H = G + Σ rᵢ ∇²fᵢ: a network that fits its targets exactly has no second term."""
    problem = CASES["regression"]()
    model = problem.model.double()
    x = normal(8, 4, seed=0).double()
    with torch.no_grad():
        subject = Subject(model, "mse", (x, model(x)), dtype="float64")
    hessian = HessianOperator(subject).to_dense()
    assert relative(GaussNewtonOperator(subject).to_dense() - hessian, hessian) <= 1e-11


def test_rank_is_at_most_the_number_of_outputs():
    subject = Subject(
        CASES["regression"]().model,
        "mse",
        (normal(3, 4, seed=0), normal(3, 2, seed=1)),
        dtype="float64",
    )
    values = spectrum_of(GaussNewtonOperator(subject).to_dense())
    assert (values > 1e-10 * values[-1]).sum() == 6


def test_a_loss_inside_the_model_is_refused():
    with pytest.raises(ModelError, match="function of the outputs"):
        operator("self-scored")


def test_outputs_that_do_not_depend_on_the_parameters_give_zero():
    class Deaf(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return x * 2

    subject = Subject(Deaf(3, 3), "mse", (normal(4, 3, seed=0), normal(4, 3, seed=1)))
    assert not GaussNewtonOperator(subject).to_dense().any()


def test_forward_mode_stands_in_for_a_missing_double_backward():
    data = (normal(6, 3, seed=0), normal(6, 2, seed=1))
    exact = GaussNewtonOperator(Subject(Plain(ForwardOnly), "mse", data, dtype="float64"))
    other = GaussNewtonOperator(Subject(Cubed(ForwardOnly), "mse", data, dtype="float64"))
    torch.testing.assert_close(other.to_dense(), exact.to_dense(), rtol=1e-11, atol=1e-12)


class Plainly(Branched):
    def forward(self, x: Tensor) -> Tensor:
        plain = nn.functional.linear(x, self.weight, self.bias)
        return plain**3 + torch.sin(plain)


@pytest.mark.parametrize(("network", "exact"), [(Cubed, Plain), (Branched, Plainly)])
def test_a_branch_without_double_backward_is_not_dropped(network, exact):
    """J v needs no second derivative of the network, so it may be right or refused; never less."""
    data = (normal(6, 3, seed=0), normal(6, 2, seed=1))
    expected = GaussNewtonOperator(Subject(exact(ForwardOnly), "mse", data, dtype="float64"))
    subject = Subject(network(NoDoubleBackward), "mse", data, dtype="float64")
    try:
        found = GaussNewtonOperator(subject).to_dense()
    except ModelError:
        return
    torch.testing.assert_close(found, expected.to_dense(), rtol=1e-11, atol=1e-12)


def test_model_outputs_may_be_wrapped():
    """The logits of a tuple, a mapping or an object are what the loss is a function of."""
    from types import SimpleNamespace

    wraps = [lambda z: (z, z * 2), lambda z: {"logits": z}, lambda z: SimpleNamespace(logits=z)]
    x, y = normal(7, 4, seed=0), labels(7, classes=3, seed=1)
    plain = seeded(lambda: nn.Linear(4, 3), 0)
    exact = GaussNewtonOperator(Subject(plain, "ce", (x, y), dtype="float64")).to_dense()

    class Wrapped(nn.Module):
        def __init__(self, wrap) -> None:  # type: ignore[no-untyped-def]
            super().__init__()
            self.inner, self.wrap = plain, wrap

        def forward(self, x: Tensor):  # type: ignore[no-untyped-def]
            return self.wrap(self.inner(x))

    for wrap in wraps:
        found = GaussNewtonOperator(Subject(Wrapped(wrap), "ce", (x, y), dtype="float64"))
        np.testing.assert_array_equal(found.to_dense(), exact)
