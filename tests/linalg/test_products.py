from __future__ import annotations

import math

import pytest
import torch

from landscape.linalg import products as module
from landscape.linalg.products import combined, dots, gram, norm, projections
from tests.oracles import F64, generator


def unit(count: int, size: int, seed: int = 0) -> torch.Tensor:
    rows = torch.randn(count, size, generator=generator(seed), dtype=F64)
    return rows / rows.norm(dim=1, keepdim=True)


def test_dot_products_are_accumulated_in_float64():
    size = 2**20 + 3  # two chunks and a rest
    ones = torch.ones(1, size)
    small = torch.full((size,), 2.0**-12)
    small[0] = 2.0**24  # float32 accumulation would lose every 2⁻¹² beside it
    exact = 2.0**24 + (size - 1) * 2.0**-12
    assert float(dots(ones, small)[0]) == exact
    assert float(dots(ones, small[None])[0, 0]) == exact
    assert norm(torch.full((size,), 1e-30)) == pytest.approx(1e-30 * math.sqrt(size), rel=1e-6)


def test_products_with_no_rows_are_empty():
    assert dots(torch.empty(0, 5), torch.ones(5)).shape == (0,)
    assert projections(torch.ones(2, 5), torch.empty(0, 5)).shape == (2, 0)


@pytest.mark.parametrize("size", [5, 4096, 4097, 300_000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_projections_are_the_dot_products(size, dtype):
    block, rows = unit(3, size).to(dtype), unit(7, size, seed=1).to(dtype)
    rows[0] = block[0]
    exact = block.double() @ rows.double().T
    found = projections(block, rows)
    assert found.dtype == F64
    error = (found - exact).abs() / torch.finfo(dtype).eps
    assert float(error.max()) < (4 if dtype == torch.float32 else 100)  # a row with itself
    assert dtype == torch.float64 or float(error[:, 1:].max()) < 0.5


def test_projections_do_not_trust_coarse_products(monkeypatch):
    block, rows = unit(3, 9000).float(), unit(7, 9000, seed=1).float()
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "medium")
    torch.testing.assert_close(projections(block, rows), dots(rows, block).T, rtol=0, atol=0)


@pytest.mark.parametrize("chunk", [7, 2**19])
def test_combinations_may_overwrite_what_they_combine(chunk, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", chunk)
    rows, weights = unit(6, 50), unit(3, 6, seed=2)
    expected = weights @ rows
    torch.testing.assert_close(combined(weights, rows), expected)
    combined(weights, rows, out=rows[:3])
    torch.testing.assert_close(rows[:3], expected)


def test_gram_matrix_holds_all_products():
    rows = unit(4, 30)
    torch.testing.assert_close(gram(rows), rows @ rows.T)
