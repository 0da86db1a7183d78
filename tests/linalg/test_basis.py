from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from landscape.linalg import products
from landscape.linalg.basis import Basis, orthonormal
from tests.oracles import F64, generator, orthogonal

PRECISIONS = [torch.float32, torch.float64]


def vectors(count: int, size: int, dtype: torch.dtype = F64, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, size, generator=generator(seed), dtype=F64).to(dtype)


def spare(count: int, size: int, dtype: torch.dtype = F64) -> Callable[[], torch.Tensor]:
    rows = torch.nn.functional.normalize(vectors(count, size, dtype, seed=99))
    return lambda: rows


def filled(rows: torch.Tensor, block: int = 1, capacity: int | None = None, fixed=None) -> Basis:
    basis = Basis(capacity or len(rows), rows[0], fixed=fixed)
    for part in rows.split(block):
        basis.append(basis.orthonormalised(part, spare(len(part), part.shape[1], part.dtype))[0])
    return basis


def defect(rows: torch.Tensor) -> float:
    return float((rows.double() @ rows.double().T - torch.eye(len(rows), dtype=F64)).abs().max())


@pytest.fixture(params=[7, 2**19])
def chunk(request, monkeypatch):
    monkeypatch.setattr(products, "CHUNK", request.param)


@pytest.mark.parametrize("dtype", PRECISIONS, ids=["float32", "float64"])
@pytest.mark.parametrize("block", [1, 4])
@pytest.mark.usefixtures("chunk")
def test_rows_are_orthonormal_to_rounding_even_when_nearly_dependent(dtype, block):
    rows = vectors(1, 50, dtype) + 1e-3 * vectors(12, 50, dtype, seed=1)
    assert defect(filled(rows, block).rows) < 20 * torch.finfo(dtype).eps


@pytest.mark.parametrize("dtype", PRECISIONS, ids=["float32", "float64"])
@pytest.mark.parametrize("apart", [1e-1, 1e-4, 1e-7, 1e-10])
def test_blocks_that_are_almost_in_the_basis_stay_orthonormal(dtype, apart):
    basis = filled(vectors(6, 9000, dtype), capacity=12)
    block = vectors(4, 6, dtype, seed=3) @ basis.rows + apart * vectors(4, 9000, dtype, seed=4)
    block[2] = block[1] + apart * block[2]
    found, coefficients, coupling = basis.orthonormalised(block, spare(4, 9000, dtype))
    eps = torch.finfo(dtype).eps
    assert defect(torch.cat([basis.rows, found])) < 20 * eps
    rebuilt = coefficients @ basis.rows.double() + coupling @ found.double()
    assert float((rebuilt - block.double()).norm() / block.double().norm()) < 20 * eps


@pytest.mark.usefixtures("chunk")
def test_block_is_its_coefficients_plus_its_coupling():
    basis, block = filled(vectors(5, 30), capacity=9), vectors(3, 30, seed=2)
    found, coefficients, coupling = basis.orthonormalised(block, spare(3, 30))
    assert coefficients.dtype == coupling.dtype == F64
    assert coefficients.shape == (3, 5)
    assert coupling.shape == (3, 3)
    torch.testing.assert_close(
        coefficients @ basis.rows + coupling @ found, block, rtol=0, atol=1e-13
    )
    torch.testing.assert_close(coefficients, block @ basis.rows.T, rtol=0, atol=1e-13)


@pytest.mark.parametrize("dtype", PRECISIONS, ids=["float32", "float64"])
@pytest.mark.parametrize("kind", ["zero", "in the basis", "twice", "all zero"])
def test_a_row_with_nothing_new_is_replaced_and_not_coupled(dtype, kind):
    basis, block = filled(vectors(5, 40, dtype), capacity=9), vectors(4, 40, dtype, seed=2)
    if kind == "all zero":
        block = torch.zeros_like(block)
    else:
        block[2] = {"zero": 0 * block[0], "in the basis": basis.rows[3], "twice": block[1]}[kind]
    eps = torch.finfo(dtype).eps
    found, coefficients, coupling = basis.orthonormalised(block, spare(4, 40, dtype), 50 * eps)
    assert defect(torch.cat([basis.rows, found])) < 50 * eps
    rebuilt = coefficients @ basis.rows.double() + coupling @ found.double()
    torch.testing.assert_close(rebuilt, block.double(), rtol=0, atol=200 * eps)
    assert int(torch.linalg.matrix_rank(coupling, atol=200 * eps)) == (0 if "all" in kind else 3)


@pytest.mark.parametrize("scale", [1e-18, 1e-30, 1e18])
def test_scale_does_not_matter(scale):
    rows = vectors(3, 50, torch.float32)
    assert defect(filled(rows * scale, 3).rows) < 1e-6


def test_new_rows_are_orthogonal_to_fixed_ones():
    fixed = orthogonal(20)[:4]
    basis = filled(vectors(6, 20), 2, fixed=fixed)
    assert defect(torch.cat([fixed, basis.rows])) < 1e-13


def test_basis_spans_when_fixed_and_own_rows_fill_the_space():
    fixed = orthogonal(6)[:4]
    basis = Basis(5, fixed[0], fixed=fixed)
    for left in (2, 1):
        assert not basis.spans
        assert basis.left == basis.room == left
        basis.append(basis.orthonormalised(vectors(1, 6, seed=left), spare(1, 6))[0])
    assert basis.spans
    assert basis.room == 0


def test_basis_has_no_room_at_its_capacity_without_spanning():
    basis = filled(vectors(3, 10))
    assert basis.room == 0
    assert not basis.spans


@pytest.mark.usefixtures("chunk")
def test_compress_and_combine_are_products_with_the_rows():
    basis = filled(vectors(6, 40))
    rows, weights = basis.rows.clone(), orthogonal(6)[:3]
    torch.testing.assert_close(basis.combine(weights), weights @ rows)
    basis.compress(weights)
    assert basis.size == 3
    torch.testing.assert_close(basis.rows, weights @ rows)
    assert defect(basis.rows) < 1e-13


@pytest.mark.parametrize("dtype", PRECISIONS, ids=["float32", "float64"])
def test_orthonormal_rows_have_the_same_span(dtype):
    rows = vectors(1, 300, dtype) + 1e-3 * vectors(5, 300, dtype, seed=1)
    found = orthonormal(rows)
    assert defect(found) < 20 * torch.finfo(dtype).eps
    inside = (rows @ found.T) @ found
    torch.testing.assert_close(inside, rows, rtol=0, atol=100 * torch.finfo(dtype).eps)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", PRECISIONS, ids=["float32", "float64"])
def test_a_basis_on_the_host_is_the_same(dtype):
    rows = vectors(40, 9000, dtype).cuda()
    near, far = (Basis(40, rows[0], on_host=on_host) for on_host in (False, True))
    for part in rows.split(4):
        for basis in (near, far):
            basis.append(basis.orthonormalised(part, lambda: spare(4, 9000, dtype)().cuda())[0])
    assert far.rows.device.type == "cpu"
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(far.rows, near.rows.cpu(), rtol=0, atol=100 * eps)
    weights = orthogonal(40)[:3]
    combined = far.combine(weights)
    assert combined.device.type == "cuda"
    torch.testing.assert_close(combined, near.combine(weights), rtol=0, atol=100 * eps)
    assert defect(far.rows) < 100 * eps
