"""The full kernel by its products, against the kernel itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import landscape as ls
from landscape.errors import ModelError, NumericalError
from landscape.kernels.by_products import found_by_products
from landscape.tangent import products
from landscape.tangent.kernel import diagonal, kernel
from landscape.tangent.products import TangentOperator
from tests.cases import CASES


@pytest.mark.parametrize(
    "case", ["mlp", "cnn", "residual", "multihead", "partial", "masked", "recurrent"]
)
def test_products_are_those_of_the_kernel(case):
    subject = CASES[case]().subject(dtype="float64")
    dense = kernel(subject, kind="full").values
    operator = TangentOperator(subject)
    assert operator.shape == dense.shape
    rows = torch.randn(3, len(dense), generator=torch.Generator().manual_seed(0)).double()
    found = operator.matmat(rows.T).T
    np.testing.assert_allclose(found, rows.numpy() @ dense, atol=1e-11 * np.abs(dense).max())


def test_batches_do_not_matter(monkeypatch):
    subject = CASES["cnn"]().subject(dtype="float64")
    whole = TangentOperator(subject).to_dense()
    monkeypatch.setattr(products, "TOGETHER", 2)
    torch.testing.assert_close(TangentOperator(subject).to_dense(), whole)


def test_what_the_kernel_maps_to_nothing():
    """More rows than parameters: the products of the null space are rounding, and no error."""
    model = nn.Linear(2, 3).double()
    inputs = torch.randn(8, 2, generator=torch.Generator().manual_seed(0)).double()
    data = [(inputs, torch.zeros(8, 3).double())]
    subject = ls.Subject(model, "mse", data, dtype="float64", device="cpu")
    operator = TangentOperator(subject)
    values, vectors = np.linalg.eigh(kernel(subject, kind="full").values)
    assert (values[:15] < 1e-12 * values[-1]).all()
    assert (values[15:] > 1e-3 * values[-1]).all()
    operator.matvec(torch.ones(24).double())
    for vector in torch.from_numpy(vectors.T[:15].copy()):
        assert float(operator.matvec(vector).abs().max()) < 1e-12 * values[-1]


def test_homogeneous_networks_move_along_their_weights():
    """A bias-free ReLU network of L layers has J θ = L f: the derivative forward, by itself."""
    torch.manual_seed(0)
    layers = [nn.Linear(5, 8, bias=False), nn.ReLU(), nn.Linear(8, 6, bias=False), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(6, 3, bias=False)).double()
    inputs = torch.randn(7, 5).double()
    data = [(inputs, torch.zeros(7, 3).double())]
    subject = ls.Subject(model, "mse", data, dtype="float64", device="cpu")
    operator = TangentOperator(subject)
    (batch,) = operator.batches
    moved = operator._pushed(batch, subject.point.theta[None])
    torch.testing.assert_close(moved, 3 * model(inputs).detach().view(1, 21), rtol=1e-12, atol=0)


def large(seed: int = 0) -> ls.Subject:
    """A network whose full kernel has 360 rows, so that Lanczos and not the matrix is asked."""
    source = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(9, 14), nn.Tanh(), nn.Linear(14, 6)).double()
    inputs = torch.randn(60, 9, generator=source).double()
    labels = torch.randint(6, (60,), generator=source)
    return ls.Subject(model, "ce", [(inputs, labels)], dtype="float64", device="cpu")


def test_the_largest_eigenvalues_lie_within_their_residuals():
    subject = large()
    batches = list(subject.device_batches())
    found = found_by_products(subject, batches, top=8, probes=4, seed=0)
    expected = np.linalg.eigvalsh(kernel(subject, kind="full").values)[::-1]
    gap = np.abs(found.pairs.top.values - expected[:8])
    rounding = 1e-12 * expected[0]
    assert (gap <= found.pairs.top.residuals + rounding).all()
    assert (found.pairs.top.residuals <= 2e-4 * expected[0]).all()
    assert found.pairs.complete
    low, high = found.participation.interval
    assert low <= expected.sum() ** 2 / np.square(expected).sum() <= high
    assert found.condition.value == pytest.approx(expected[0] / expected[7], rel=1e-3)
    grid, value = found.density.grid, found.density.value
    mass = float(value.sum() * (grid[1] - grid[0]))
    assert mass == pytest.approx(1, abs=0.02)
    assert found.trace.value == pytest.approx(expected.sum(), rel=1e-12)


@pytest.mark.parametrize("case", ["cnn", "residual", "tied", "multihead"])
def test_the_trace_is_that_of_the_kernel_layer_by_layer(case):
    subject = CASES[case]().subject(dtype="float64")
    whole = kernel(subject)
    found = diagonal(subject, list(subject.device_batches()))
    np.testing.assert_allclose(found.values, np.diagonal(whole.values), rtol=1e-11)
    assert set(found.shares) == set(whole.shares)
    for name, share in whole.shares.items():
        assert found.shares[name] == pytest.approx(share, rel=1e-10)


class _Wrong(torch.autograd.Function):
    """x², whose gradient has a wrong derivative of its own."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad.detach() * 2 * x + 0 * grad


class _Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * 2 * x


class _Through(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.layer, self.function = nn.Linear(4, 3).double(), function

    def forward(self, x):
        return self.function.apply(self.layer(x))


@pytest.mark.parametrize(("function", "error"), [(_Wrong, NumericalError), (_Once, ModelError)])
def test_wrong_second_derivatives_are_refused(function, error):
    inputs = torch.randn(5, 4).double()
    data = [(inputs, torch.zeros(5, 3).double())]
    subject = ls.Subject(_Through(function), "mse", data, dtype="float64", device="cpu")
    operator = TangentOperator(subject)
    with pytest.raises(error):
        operator.matvec(torch.ones(15).double())
    assert kernel(subject, kind="full").agreement < 1e-10  # first derivatives are right
