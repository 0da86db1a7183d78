from __future__ import annotations

import math

import pytest
import torch

from landscape.linalg import basis as module
from landscape.linalg.basis import Basis, dots, norm
from tests.oracles import F64, generator, orthogonal

PRECISIONS = [torch.float32, torch.float64]


def vectors(count: int, size: int, dtype: torch.dtype = F64, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, size, generator=generator(seed), dtype=F64).to(dtype)


def filled(rows: torch.Tensor, capacity: int | None = None, fixed=None) -> Basis:
    basis = Basis(capacity or len(rows), rows[0], fixed=fixed)
    for row in rows:
        free, _ = basis.orthogonalise(row)
        basis.append(free)
    return basis


def defect(rows: torch.Tensor) -> float:
    return float((rows.double() @ rows.double().T - torch.eye(len(rows), dtype=F64)).abs().max())


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("chunk", [7, 2**19])
def test_rows_are_orthonormal_to_rounding_even_when_nearly_dependent(dtype, chunk, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", chunk)
    rows = vectors(1, 50, dtype) + 1e-3 * vectors(12, 50, dtype, seed=1)
    assert defect(filled(rows).rows) < 20 * torch.finfo(dtype).eps


@pytest.mark.parametrize("chunk", [7, 2**19])
def test_vector_is_its_coefficients_plus_what_is_free(chunk, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", chunk)
    basis = filled(vectors(5, 30), capacity=9)
    vector = vectors(1, 30, seed=2)[0]
    free, coefficients = basis.orthogonalise(vector)
    assert coefficients.dtype == F64
    assert coefficients.shape == (5,)
    torch.testing.assert_close(coefficients @ basis.rows + free, vector, rtol=0, atol=1e-13)
    assert float((basis.rows @ free).abs().max()) < 1e-13


def test_new_rows_are_orthogonal_to_fixed_ones():
    fixed = orthogonal(20)[:4]
    basis = filled(vectors(6, 20), fixed=fixed)
    assert defect(torch.cat([fixed, basis.rows])) < 1e-13


def test_basis_spans_when_fixed_and_own_rows_fill_the_space():
    fixed = orthogonal(6)[:4]
    basis = Basis(5, fixed[0], fixed=fixed)
    assert not basis.spans
    for seed in range(2):
        assert not basis.full
        free, _ = basis.orthogonalise(vectors(1, 6, seed=seed)[0])
        basis.append(free)
    assert basis.spans
    assert basis.full


def test_basis_is_full_at_its_capacity_without_spanning():
    basis = filled(vectors(3, 10))
    assert basis.full
    assert not basis.spans


def test_append_returns_the_length_that_the_vector_had():
    basis = Basis(2, vectors(1, 9)[0])
    vector = vectors(1, 9)[0]
    assert basis.append(vector) == pytest.approx(float(vector.norm()), rel=1e-14)
    assert norm(basis.rows[0]) == pytest.approx(1, rel=1e-14)


@pytest.mark.parametrize("chunk", [7, 2**19])
def test_compress_and_combine_are_products_with_the_rows(chunk, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", chunk)
    basis = filled(vectors(6, 40))
    rows, weights = basis.rows.clone(), orthogonal(6)[:3]
    torch.testing.assert_close(basis.combine(weights), weights @ rows)
    basis.compress(weights)
    assert basis.size == 3
    torch.testing.assert_close(basis.rows, weights @ rows)
    assert defect(basis.rows) < 1e-13


def test_dot_products_are_accumulated_in_float64():
    size = 2**20 + 3  # two chunks and a rest
    ones = torch.ones(1, size)
    small = torch.full((size,), 2.0**-12)
    small[0] = 2.0**24  # float32 accumulation would lose every 2⁻¹² beside it
    exact = 2.0**24 + (size - 1) * 2.0**-12
    assert float(dots(ones, small)[0]) == exact
    assert norm(torch.full((size,), 1e-30)) == pytest.approx(1e-30 * math.sqrt(size), rel=1e-6)


def test_products_with_no_rows_are_empty():
    assert dots(torch.empty(0, 5), torch.ones(5)).shape == (0,)
