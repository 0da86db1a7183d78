from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from landscape.errors import SettingError
from landscape.linalg.operator import MatrixOperator
from landscape.operators.hessian import HessianOperator
from landscape.operators.preconditioned import PreconditionedOperator
from landscape.subject.subject import Subject
from tests.cases import CASES, classified, dense_hessian, seeded
from tests.oracles import F64, generator, relative, symmetric


def diagonal(size: int) -> Tensor:
    return torch.rand(size, generator=generator(3), dtype=F64) + 0.01


def test_it_has_the_eigenvalues_of_the_preconditioned_matrix():
    exact = dense_hessian("mlp")
    scale = diagonal(len(exact))
    hessian = HessianOperator(CASES["mlp"]().subject(dtype="float64"))
    found = PreconditionedOperator(hessian, scale).to_dense()
    assert relative(found - found.T, found) <= 1e-12
    values = torch.linalg.eigvals(exact / scale[:, None])  # of P⁻¹ H, which is not symmetric
    assert float(values.imag.abs().max()) <= 1e-10
    expected = values.real.sort().values
    torch.testing.assert_close(torch.linalg.eigvalsh(found), expected, rtol=1e-9, atol=1e-10)


def test_the_identity_changes_nothing():
    matrix = MatrixOperator(symmetric([3.0, 1.0, -2.0]))
    found = PreconditionedOperator(matrix, torch.ones(3, dtype=F64))
    torch.testing.assert_close(found.to_dense(), matrix.to_dense())
    assert found.preferred_block == matrix.preferred_block
    assert found.symmetric


def test_entries_are_those_of_the_definition():
    matrix = symmetric([3.0, 1.0, -2.0, 0.5])
    scale = torch.tensor([1e-8, 1.0, 4.0, 1e8], dtype=F64)
    found = PreconditionedOperator(MatrixOperator(matrix), scale).to_dense()
    expected = matrix / torch.outer(scale, scale).sqrt()
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    "wrong",
    [torch.ones(2), torch.ones(4), torch.ones(3, 1), torch.tensor([1.0, 0.0, 1.0])]
    + [torch.tensor([1.0, bad, 1.0]) for bad in (-1.0, float("nan"))],
)
def test_what_is_no_positive_diagonal_is_refused(wrong):
    with pytest.raises(SettingError, match="a positive diagonal of length 3"):
        PreconditionedOperator(MatrixOperator(symmetric([3.0, 1.0, -2.0])), wrong)


# --- diagonal blocks ---------------------------------------------------------------------------

POSITIONS = {
    "a layer": torch.arange(48, 102),
    "one tensor": torch.arange(40, 48),
    "some of several": torch.tensor([0, 3, 39, 40, 47, 48, 101]),
    "one": torch.tensor([77]),
    "unsorted": torch.tensor([101, 0, 50, 3]),
    "all": torch.arange(123),
}


@pytest.mark.parametrize("product", ["auto", "linearize", "differences"])
@pytest.mark.parametrize("name", POSITIONS)
def test_restriction_is_the_dense_block(name, product):
    exact, kept = dense_hessian("mlp"), POSITIONS[name]
    hessian = HessianOperator(CASES["mlp"]().subject(dtype="float64"), product=product)
    found = hessian.restricted(kept).to_dense()
    tolerance = 1e-5 if product == "differences" else 1e-12
    assert relative(found - exact[kept][:, kept], exact) <= tolerance
    block = torch.randn(len(exact), 2, generator=generator(0), dtype=F64)
    assert relative(hessian.matmat(block) - exact @ block, exact) <= 10 * tolerance


def test_restriction_within_a_mask():
    exact = dense_hessian("masked")
    hessian = HessianOperator(CASES["masked"]().subject(dtype="float64"))
    kept = torch.arange(1, len(exact), 3)
    found = hessian.restricted(kept)
    assert relative(found.to_dense() - exact[kept][:, kept], exact) <= 1e-12
    again = found.restricted(torch.tensor([0, 2, 5]))
    inner = kept[[0, 2, 5]]
    assert relative(again.to_dense() - exact[inner][:, inner], exact) <= 1e-12


def test_restriction_at_another_point():
    subject = CASES["mlp"]().subject(dtype="float64")
    other = subject.point.moved(subject.point.theta * 1.3)
    kept = POSITIONS["a layer"]
    hessian = HessianOperator(subject, other)
    exact = hessian.to_dense()[kept][:, kept]
    assert relative(hessian.restricted(kept).to_dense() - exact, exact) <= 1e-12


class Counting(torch.autograd.Function):
    """The identity, which counts how often it is differentiated."""

    calls = 0

    @staticmethod
    def forward(x):  # type: ignore[no-untyped-def]
        return x.clone()

    @staticmethod
    def setup_context(ctx, inputs, output):  # type: ignore[no-untyped-def]
        del ctx, inputs, output

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        del ctx
        Counting.calls += 1
        return grad.clone()


class Counted(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, Counting.apply(self.weight), self.bias)


@pytest.mark.parametrize("product", ["reverse", "cached"])
def test_other_layers_are_not_differentiated(product):
    model = seeded(lambda: nn.Sequential(Counted(5, 4), nn.Tanh(), nn.Linear(4, 3)), 0)
    hessian = HessianOperator(
        Subject(model, "ce", classified((6, 3), (5,), 3), dtype="float64"), product=product
    )
    head = hessian.restricted(torch.arange(24, 39))
    Counting.calls = 0
    head.to_dense()
    assert Counting.calls == 0
    hessian.restricted(torch.arange(3)).to_dense()
    assert Counting.calls > 0
