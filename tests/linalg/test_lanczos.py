from __future__ import annotations

import numpy as np
import pytest
import torch

from landscape.errors import NumericalError
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


@pytest.mark.parametrize("together", [1, 2, 3, 5])
def test_groups_that_fit_in_memory_give_what_all_together_give(together):
    """A group of one is a single-vector run: the block changes nothing of a vector's quadrature."""
    matrix, vectors = symmetric(SPECTRA["indefinite"]), starts(5, 40)
    expected = quadratures(matrix, vectors, 6)
    memory = together * 6 * vectors[0].nbytes
    found = gauss_quadratures(MatrixOperator(matrix), vectors, 6, memory_bytes=memory)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.nodes, other.nodes, atol=1e-12)
        np.testing.assert_allclose(one.weights, other.weights, atol=1e-12)
        np.testing.assert_allclose(one.residuals, other.residuals, atol=1e-12)


def scalar_lanczos(matrix: np.ndarray, start: np.ndarray, steps: int) -> tuple[np.ndarray, ...]:
    """Nodes, weights and residuals of single-vector Lanczos, written again."""
    rows, alphas, betas, row = [], [], [], start / np.linalg.norm(start)
    for _ in range(steps):
        rows.append(row)
        image = matrix @ row
        alphas.append(row @ image)
        for _ in range(2):
            image -= np.array(rows).T @ (np.array(rows) @ image)
        betas.append(np.linalg.norm(image))
        row = image / betas[-1]
    tridiagonal = np.diag(alphas) + np.diag(betas[:-1], 1) + np.diag(betas[:-1], -1)
    nodes, vectors = np.linalg.eigh(tridiagonal)
    return nodes, vectors[0] ** 2, betas[-1] * np.abs(vectors[-1])


@pytest.mark.parametrize(("probes", "steps"), [(1, 9), (4, 9), (8, 12)])
@pytest.mark.parametrize(
    "values",
    [
        np.linspace(-2, 1, 400),
        np.concatenate([[30, 10, 9.9, -20], np.linspace(-0.5, 0.5, 396)]),
        1 / np.arange(1, 401) ** 1.2,
    ],
    ids=["even", "outliers", "decaying"],
)
def test_block_run_gives_what_single_vectors_give(values, probes, steps):
    matrix, vectors = symmetric(values, seed=3), starts(probes, 400)
    for vector, rule in zip(vectors, quadratures(matrix, vectors, steps), strict=True):
        expected = scalar_lanczos(matrix.numpy(), vector.numpy(), steps)
        for got, exact in zip((rule.nodes, rule.weights, rule.residuals), expected, strict=True):
            np.testing.assert_allclose(got, exact, rtol=0, atol=1e-10)


def test_dependent_starts_have_their_own_quadratures():
    matrix, vectors = symmetric(SPECTRA["outliers"]), starts(3, 40)
    vectors = torch.cat([vectors, vectors[:1], (vectors[:1] - vectors[1:2])])
    vectors /= vectors.norm(dim=1, keepdim=True)
    for vector, rule in zip(vectors, quadratures(matrix, vectors, 7), strict=True):
        nodes, weights, _ = scalar_lanczos(matrix.numpy(), vector.numpy(), 7)
        np.testing.assert_allclose(rule.nodes, nodes, atol=1e-10)
        np.testing.assert_allclose(rule.weights, weights, atol=1e-10)


def test_a_product_that_is_not_finite_is_an_error():
    matrix = symmetric(SPECTRA["indefinite"])
    matrix[3, 3] = float("nan")
    with pytest.raises(NumericalError, match="not finite"):
        quadratures(matrix, starts(2, 40), 5)


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


@pytest.mark.parametrize("size", [1, 2, 5])
def test_more_start_vectors_than_dimensions(size):
    matrix, vectors = symmetric(np.arange(1.0, size + 1)), starts(8, size)
    rules = quadratures(matrix, vectors, 12)
    assert len(rules) == 8
    for vector, rule in zip(vectors, rules, strict=True):
        np.testing.assert_allclose(rule.nodes, np.arange(1.0, size + 1), atol=1e-12)
        mean = float(vector @ matrix @ vector)
        assert np.sum(rule.weights * rule.nodes) == pytest.approx(mean, abs=1e-12)
