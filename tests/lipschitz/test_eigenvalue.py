"""Largest eigenvalues from above, against matrices with prescribed spectra."""

from __future__ import annotations

import pytest
import torch

from landscape.lipschitz.eigenvalue import largest_eigenvalue
from landscape.lipschitz.matrix import matrix_norm
from landscape.lipschitz.nonnegative import nonnegative_norm
from landscape.lipschitz.singular import largest_singular


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def prescribed(values: torch.Tensor, seed: int) -> torch.Tensor:
    vectors = torch.linalg.qr(drawn(len(values), len(values), seed=seed))[0]
    return (vectors * values) @ vectors.T


@pytest.mark.parametrize("size", [1, 2, 40, 300])
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_never_below(size, scale):
    values = torch.linspace(0.1, 1, size, dtype=torch.float64) * scale
    many = torch.stack([prescribed(values * share, n) for n, share in enumerate((0.5, 1.0, 0.9))])
    found = largest_eigenvalue(many)
    top = float(values[-1])
    assert top <= found <= top * (1 + 3e-4)


@pytest.mark.parametrize("gap", [0.0, 1e-6, 1e-2])
def test_close_eigenvalues_are_not_missed(gap):
    values = torch.full((250,), 1 - gap, dtype=torch.float64)
    values[0] = 1
    many = torch.stack([prescribed(values, seed) for seed in range(3)])
    assert 1 - 1e-12 <= largest_eigenvalue(many) <= 1.02


def test_what_lies_below_the_floor_changes_nothing():
    many = torch.stack([prescribed(torch.linspace(0, 1, 250).double(), n) for n in range(3)])
    assert largest_eigenvalue(many, floor=5.0) == pytest.approx(5, rel=1e-9)


@pytest.mark.parametrize("shape", [(1, 9), (9, 1), (30, 50), (50, 30), (900, 1200)])
def test_matrices(shape):
    matrix = drawn(*shape)
    exact = float(torch.linalg.matrix_norm(matrix, 2))
    assert exact * (1 - 1e-14) <= matrix_norm(matrix) <= exact * (1 + 1e-6)
    start = drawn(shape[1], seed=1)
    lower = largest_singular(lambda x: matrix.to(x.dtype) @ x, start).value
    assert exact * (1 - 1e-6) <= lower <= exact * (1 + 1e-14)


def test_no_matrix():
    assert matrix_norm(torch.zeros(3, 4)) == 0
    assert matrix_norm(torch.zeros(0, 4)) == 0


def test_huge_and_tiny_matrices_neither_overflow_nor_vanish():
    for scale in (1e200, 1e-200):
        assert matrix_norm(torch.eye(5).double() * scale) == pytest.approx(scale, rel=1e-9)


def test_nonnegative_maps_from_both_sides():
    matrix = drawn(12, 8).abs()
    exact = float(torch.linalg.matrix_norm(matrix, 2))
    found = nonnegative_norm(lambda x: matrix @ x, torch.zeros(8))
    assert found.lower <= exact <= found.upper
    assert found.upper == pytest.approx(found.lower, rel=1e-8)
    matrix[:, 3] = 0  # an input that nothing reads
    found = nonnegative_norm(lambda x: matrix @ x, torch.zeros(8))
    exact = float(torch.linalg.matrix_norm(matrix, 2))
    assert found.lower <= exact <= found.upper <= exact * (1 + 1e-6)


def test_a_warm_start_is_quick():
    matrix = drawn(60, 80)
    calls = [0, 0]
    vector, found = drawn(80, seed=1), None
    for turn in range(2):

        def action(x: torch.Tensor, turn: int = turn) -> torch.Tensor:
            calls[turn] += 1
            return matrix.to(x.dtype) @ x

        found = largest_singular(action, vector, quick=turn == 1)
        vector = found.vector
    assert calls[1] < calls[0]
    assert found is not None
    assert found.value == pytest.approx(float(torch.linalg.matrix_norm(matrix, 2)), rel=1e-9)
