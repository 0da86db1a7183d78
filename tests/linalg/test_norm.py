from __future__ import annotations

import numpy as np
import pytest
import torch

from landscape.linalg.norm import DENSE_SIDE, spectral_norm
from tests.oracles import F64, generator, orthogonal

LARGE = DENSE_SIDE + 40


def normal(rows: int, columns: int, seed: int = 0, dtype: torch.dtype = F64) -> torch.Tensor:
    return torch.randn(rows, columns, generator=generator(seed), dtype=F64).to(dtype)


def low_rank(rows: int, columns: int, rank: int) -> torch.Tensor:
    return normal(rows, rank) @ normal(rank, columns, seed=1)


MATRICES = {
    "small": normal(9, 14),
    "small rank one": low_rank(30, 20, 1),
    "row": normal(1, 50),
    "column": normal(50, 1),
    "scalar": torch.tensor([[-3.0]], dtype=F64),
    "wide": normal(LARGE, 3 * LARGE),
    "tall": normal(2 * LARGE, LARGE),
    "square": normal(LARGE, LARGE),
    "tall and thin": normal(4 * LARGE, 12),
    "rank one": low_rank(LARGE, LARGE, 1),
    "rank two": low_rank(LARGE, 2 * LARGE, 2),
    "rank thirty": low_rank(LARGE, LARGE, 30),
    "orthogonal": orthogonal(LARGE),
    "identity": torch.eye(LARGE, dtype=F64),
    "one entry": torch.eye(LARGE, dtype=F64) * (torch.arange(LARGE) == 5),
    "projection": orthogonal(LARGE)[:, :100] @ orthogonal(LARGE)[:, :100].T,
    "decaying": orthogonal(LARGE) * torch.arange(1, LARGE + 1) ** -1.0,
    "two equal tops": orthogonal(LARGE)
    * torch.cat([torch.tensor([4.0, 4.0]), torch.linspace(0, 3.99, LARGE - 2)]),
}


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("name", MATRICES)
def test_interval_holds_the_largest_singular_value(name, dtype, scale):
    matrix = (MATRICES[name] * scale).to(dtype)
    exact = np.linalg.svd(matrix.double().numpy(), compute_uv=False)[0]
    found = spectral_norm(matrix, generator=generator(1))
    low, high = found.interval
    rounding = 20 * torch.finfo(dtype).eps * exact  # products are in the matrix's own precision
    assert low - rounding <= exact <= high + rounding
    assert high - low <= 0.05 * exact
    assert found.value == pytest.approx(exact, rel=0.05)
    assert found.status.settled


@pytest.mark.parametrize("size", [3, LARGE])
def test_a_zero_matrix_has_norm_zero(size):
    found = spectral_norm(torch.zeros(size, size + 1), generator=generator(0))
    assert found.value == 0
    assert found.interval == (0, 0)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
@pytest.mark.parametrize("size", [5, LARGE])
def test_squares_neither_overflow_nor_vanish(size, scale):
    matrix = normal(size, size)
    plain = spectral_norm(matrix, generator=generator(0))
    scaled = spectral_norm(matrix * scale, generator=generator(0))
    assert scaled.value / scale == pytest.approx(plain.value, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    matrix = normal(20, 30).to(dtype)
    exact = np.linalg.svd(matrix.double().numpy(), compute_uv=False)[0]
    assert spectral_norm(matrix, generator=generator(0)).value == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("name", ["wide", "small"])
def test_a_matrix_and_its_transpose_have_one_norm(name):
    matrix = MATRICES[name]
    one = spectral_norm(matrix, generator=generator(3))
    two = spectral_norm(matrix.T, generator=generator(3))
    assert one.value == pytest.approx(two.value, rel=1e-12)


def test_the_matrix_is_left_alone():
    matrix = normal(LARGE, LARGE, dtype=torch.float32)
    before = matrix.clone()
    spectral_norm(matrix, generator=generator(0))
    assert torch.equal(matrix, before)


@pytest.mark.full
@pytest.mark.parametrize("name", ["square", "two equal tops"])
def test_interval_covers_over_many_starts(name):
    matrix = MATRICES[name]
    exact = np.linalg.svd(matrix.numpy(), compute_uv=False)[0]
    intervals = [spectral_norm(matrix, generator=generator(i)).interval for i in range(500)]
    covered = [low * (1 - 1e-12) <= exact <= high for low, high in intervals]
    assert np.mean(covered) >= 0.93
