from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from landscape.errors import SettingError
from landscape.linalg.operator import GramOperator, LinearOperator, MatrixOperator
from tests.oracles import F64, generator, symmetric


def square(size: int = 7, seed: int = 0) -> torch.Tensor:
    return torch.randn(size, size, generator=generator(seed), dtype=F64)


def close(got: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


def test_products_are_those_of_the_matrix_not_of_its_transpose():
    matrix = torch.randn(4, 7, generator=generator(1), dtype=F64)
    operator = MatrixOperator(matrix, symmetric=False)
    vector, block = square()[0], square()[:, :3]
    close(operator.matvec(vector), matrix @ vector)
    close(operator.matmat(block), matrix @ block)
    close(operator @ vector, matrix @ vector)
    close(operator @ block, matrix @ block)
    close(operator.to_dense(), matrix)


def test_matmat_holds_the_products_with_the_columns():
    matrix, block = square(), square(seed=2)
    operator = MatrixOperator(matrix, symmetric=False)
    for number, column in enumerate(block.T):
        close(operator.matmat(block)[:, number], matrix @ column)
        close(operator.matvec(column), matrix @ column)


def test_products_are_linear():
    operator = MatrixOperator(square(), symmetric=False)
    x, y = square(seed=3)[:2]
    close(operator @ (2 * x - 3 * y), 2 * (operator @ x) - 3 * (operator @ y))


def test_sum_difference_and_multiple_are_those_of_the_matrices():
    a, b = square(seed=4), square(seed=5)
    left, right = MatrixOperator(a), MatrixOperator(b)
    close((left + right).to_dense(), a + b)
    close((left - right).to_dense(), a - b)
    close((2.5 * left).to_dense(), 2.5 * a)
    close((left * -0.5).to_dense(), -0.5 * a)
    close((left - 2 * right + right * 3).to_dense(), a + b)


def test_operators_of_different_size_are_not_added():
    with pytest.raises(SettingError, match=r"\(3, 3\) and \(4, 4\)"):
        _ = MatrixOperator(square(3)) + MatrixOperator(square(4))


def test_restriction_is_the_block_of_the_matrix_in_the_given_order():
    matrix, kept = square(), torch.tensor([5, 0, 3])
    block = MatrixOperator(matrix, symmetric=False).restricted(kept)
    assert block.shape == (3, 3)
    close(block.to_dense(), matrix[kept][:, kept])


def test_restrictions_of_restrictions_compose():
    matrix = square()
    twice = MatrixOperator(matrix).restricted(torch.tensor([6, 4, 2, 0]))
    close(twice.restricted(torch.tensor([3, 1])).to_dense(), matrix[[0, 4]][:, [0, 4]])


def test_gram_operator_is_the_matrix_times_its_transpose():
    matrix = torch.randn(4, 9, generator=generator(6), dtype=F64)
    operator = GramOperator(matrix)
    assert operator.shape == (4, 4)
    close(operator.to_dense(), matrix @ matrix.T)


def test_scipy_finds_the_eigenvalues_of_a_float32_operator():
    from scipy.sparse.linalg import eigsh

    values = np.linspace(-3, 5, 30)
    operator = MatrixOperator(symmetric(values, dtype=torch.float32)).to_scipy()
    assert operator.dtype == np.float64
    found = eigsh(operator, k=3, which="LA", return_eigenvectors=False)
    np.testing.assert_allclose(np.sort(found), values[-3:], rtol=1e-5)


def test_scipy_form_multiplies_vectors_columns_and_blocks():
    matrix = square()
    operator: Any = MatrixOperator(matrix, symmetric=True).to_scipy()
    block = square(seed=8).numpy()
    np.testing.assert_allclose(operator @ block, matrix.numpy() @ block)
    np.testing.assert_allclose(operator @ block[:, 0], matrix.numpy() @ block[:, 0])
    np.testing.assert_allclose(operator @ block[:, :1], matrix.numpy() @ block[:, :1])


def test_scipy_form_of_a_general_matrix_offers_no_transpose():
    general = MatrixOperator(square(), symmetric=False).to_scipy()
    with pytest.raises(NotImplementedError):
        general.rmatvec(np.ones(7))


@pytest.mark.parametrize(
    "block",
    [
        torch.ones(6, 1, dtype=F64),
        torch.ones(7, 1, dtype=torch.float32),
        torch.ones(7, dtype=F64),
        torch.ones(7, 1, 1, dtype=F64),
    ],
    ids=["length", "dtype", "one axis", "three axes"],
)
def test_a_block_that_does_not_fit_is_refused(block):
    with pytest.raises(SettingError):
        MatrixOperator(square()).matmat(block)


def test_a_matrix_larger_than_the_limit_is_not_formed():
    class Untouched(LinearOperator):
        def _products(self, rows: torch.Tensor) -> torch.Tensor:
            raise AssertionError("a product was computed")

    operator = Untouched((11, 11), dtype=F64, device=torch.device("cpu"))
    with pytest.raises(SettingError, match="11 columns"):
        operator.to_dense(limit=10)
    close(MatrixOperator(square(7)).to_dense(limit=7), square(7))
