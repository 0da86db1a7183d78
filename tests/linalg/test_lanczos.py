from __future__ import annotations

import numpy as np
import pytest
import torch

from landscape.linalg import lanczos
from landscape.linalg.lanczos import Quadrature, gauss_quadratures
from landscape.linalg.operator import MatrixOperator
from landscape.linalg.probes import spherical
from tests.oracles import F64, generator, orthogonal, symmetric

SPECTRA = {
    "decaying": 1.0 / np.arange(1, 41) ** 2,
    "indefinite": np.linspace(-2, 1, 40),
    "outliers": np.concatenate([[30.0, -20.0], np.linspace(-0.5, 0.5, 38)]),
    "rank-deficient": np.concatenate([[3.0, 2.0, 1.0], np.zeros(37)]),
}


def starts(count: int, size: int, dtype: torch.dtype = F64, seed: int = 0) -> torch.Tensor:
    like = torch.empty(0, dtype=dtype)
    return spherical(count, size, like=like, generator=generator(seed))


def quadratures(matrix: torch.Tensor, vectors: torch.Tensor, steps: int) -> tuple[Quadrature, ...]:
    return gauss_quadratures(MatrixOperator(matrix), vectors, steps)


@pytest.mark.parametrize("steps", [1, 2, 5, 9])
@pytest.mark.parametrize("name", SPECTRA)
def test_quadrature_is_exact_up_to_degree_twice_the_steps_minus_one(name, steps):
    matrix = symmetric(SPECTRA[name], seed=1)
    scale = np.abs(SPECTRA[name]).max()
    vectors = starts(3, 40)
    for vector, rule in zip(vectors, quadratures(matrix, vectors, steps), strict=True):
        power = vector
        for degree in range(2 * steps):
            moment = float(vector @ power)
            assert np.sum(rule.weights * rule.nodes**degree) == pytest.approx(
                moment, abs=1e-12 * scale**degree
            )
            power = matrix @ power


def test_quadrature_is_not_exact_one_degree_further():
    matrix, vector = symmetric(SPECTRA["indefinite"]), starts(1, 40)
    (rule,) = quadratures(matrix, vector, 3)
    power = torch.linalg.matrix_power(matrix, 6) @ vector[0]
    assert abs(np.sum(rule.weights * rule.nodes**6) - float(vector[0] @ power)) > 1e-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("name", SPECTRA)
def test_nodes_ascend_and_weights_are_a_distribution(name, dtype):
    matrix = symmetric(SPECTRA[name], dtype=dtype)
    for rule in quadratures(matrix, starts(4, 40, dtype), 20):
        assert (np.diff(rule.nodes) >= 0).all()
        assert (rule.weights >= 0).all()
        assert rule.weights.sum() == pytest.approx(1, abs=1e-12)
        assert np.abs(rule.nodes).max() <= np.abs(SPECTRA[name]).max() * (1 + 1e-5)


def test_nodes_of_a_full_run_are_the_eigenvalues():
    values = np.sort(np.concatenate([[-3.0, 4.0], np.linspace(-1, 1, 23)]))
    (rule,) = quadratures(symmetric(values), starts(1, 25), 25)
    np.testing.assert_allclose(rule.nodes, values, atol=1e-10)


def test_weights_are_the_squared_overlaps_with_the_eigenvectors():
    values, basis = np.linspace(-1, 2, 10), orthogonal(10, seed=4)
    matrix = (basis * torch.from_numpy(values)) @ basis.T
    vector = starts(1, 10)
    (rule,) = quadratures(matrix, vector, 10)
    np.testing.assert_allclose(rule.weights, (vector[0] @ basis).square().numpy(), atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_an_invariant_subspace_ends_the_run_early(dtype):
    matrix = torch.diag(torch.tensor([5.0, 5, 5, 2, 2, -1, -1, -1, -1], dtype=dtype))
    (rule,) = quadratures(matrix, starts(1, 9, dtype), 9)
    heavy = rule.nodes[rule.weights > 1e-8]  # what rounding adds carries no weight
    np.testing.assert_allclose(heavy, [-1, 2, 5], atol=1e-5)


def test_a_zero_matrix_takes_one_step():
    (rule,) = quadratures(torch.zeros(30, 30, dtype=F64), starts(1, 30), 10)
    np.testing.assert_array_equal(rule.nodes, [0])
    np.testing.assert_array_equal(rule.weights, [1])


def test_a_start_in_an_eigenvector_sees_that_eigenvalue_only():
    matrix = torch.diag(torch.arange(6.0, dtype=F64))
    vector = torch.eye(6, dtype=F64)[3:4]
    (rule,) = quadratures(matrix, vector, 4)
    np.testing.assert_array_equal(rule.nodes, [3])


def test_probes_that_end_at_different_steps_do_not_mix():
    matrix = torch.diag(torch.arange(1.0, 9, dtype=F64))
    basis = torch.eye(8, dtype=F64)
    pair = (basis[1] + basis[5]) / np.sqrt(2)
    vectors = torch.stack([basis[2], starts(1, 8)[0], pair])
    alone = [quadratures(matrix, vector[None], 6)[0] for vector in vectors]
    together = quadratures(matrix, vectors, 6)
    assert [len(rule.nodes) for rule in together] == [1, 6, 2]
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one.nodes, other.nodes, atol=1e-12)
        np.testing.assert_allclose(one.weights, other.weights, atol=1e-12)


def test_groups_that_fit_in_memory_give_what_all_together_give(monkeypatch):
    matrix, vectors = symmetric(SPECTRA["indefinite"]), starts(5, 40)
    together = quadratures(matrix, vectors, 6)
    monkeypatch.setattr(lanczos, "MEMORY_BYTES", 2 * 6 * vectors[0].nbytes)
    for one, other in zip(quadratures(matrix, vectors, 6), together, strict=True):
        np.testing.assert_allclose(one.nodes, other.nodes, atol=1e-12)


def test_steps_beyond_the_size_are_not_taken():
    (rule,) = quadratures(symmetric([1.0, 2.0, 3.0]), starts(1, 3), 50)
    np.testing.assert_allclose(rule.nodes, [1, 2, 3], atol=1e-12)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_nodes_scale_with_the_matrix_and_weights_do_not(scale, dtype):
    matrix, vector = symmetric(SPECTRA["outliers"], dtype=dtype), starts(1, 40, dtype)
    (plain,) = quadratures(matrix, vector, 12)
    (scaled,) = quadratures(matrix * scale, vector, 12)
    tolerance = 1e4 * torch.finfo(dtype).eps
    np.testing.assert_allclose(scaled.nodes / scale, plain.nodes, atol=30 * tolerance)
    np.testing.assert_allclose(scaled.weights, plain.weights, atol=tolerance)
