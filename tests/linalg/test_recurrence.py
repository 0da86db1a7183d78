from __future__ import annotations

import numpy as np
import pytest
import torch

from landscape.errors import NumericalError
from landscape.linalg.operator import MatrixOperator
from landscape.linalg.probes import spherical
from landscape.linalg.recurrence import Recurrence
from tests.oracles import F64, generator, orthogonal, symmetric

VALUES = np.concatenate([[30.0, 10, 9.9, -20], np.linspace(-0.5, 0.5, 196)])
PRECISIONS = [torch.float32, torch.float64]


def recurrence(matrix: torch.Tensor, block: int = 4, capacity: int = 60, fixed=None) -> Recurrence:
    start = spherical(block, len(matrix), like=matrix, generator=generator(1))
    return Recurrence(
        MatrixOperator(matrix), start, capacity=capacity, generator=generator(2), fixed=fixed
    )


def stepped(run: Recurrence, steps: int) -> Recurrence:
    for _ in range(steps):
        run.step()
    return run


def check(run: Recurrence, matrix: torch.Tensor, eps: float) -> None:
    """V is orthonormal, T = V A Vᵀ, and every Ritz residual is ‖A x − θ x‖."""
    rows, exact = run.basis.rows.double(), matrix.double()
    scale = float(exact.abs().sum(1).max())
    identity = torch.eye(len(rows), dtype=F64)
    torch.testing.assert_close(rows @ rows.T, identity, rtol=0, atol=20 * eps)
    torch.testing.assert_close(run.projected, rows @ exact @ rows.T, rtol=0, atol=20 * eps * scale)
    ritz = run.ritz()
    vectors = ritz.weights.T @ rows
    residuals = (vectors @ exact - ritz.values[:, None] * vectors).norm(dim=1)
    torch.testing.assert_close(ritz.residuals, residuals, rtol=0, atol=20 * eps * scale)


@pytest.mark.parametrize("dtype", PRECISIONS, ids=["float32", "float64"])
@pytest.mark.parametrize("block", [1, 4, 7])
def test_projected_matrix_and_residuals_are_those_of_the_operator(dtype, block):
    matrix = symmetric(VALUES, dtype=dtype)
    check(stepped(recurrence(matrix, block), 5), matrix, torch.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", PRECISIONS, ids=["float32", "float64"])
def test_they_stay_so_after_restarts(dtype):
    matrix = symmetric(VALUES, dtype=dtype)
    run = recurrence(matrix, capacity=40)
    for _ in range(5):
        while not run.full:
            run.step()
        ritz = run.ritz()
        run.restart(ritz, (ritz.values > ritz.values[-8]) | (ritz.values < ritz.values[8]))
        run.step()
        check(run, matrix, 4 * torch.finfo(dtype).eps)


def test_everything_happens_in_the_complement_of_what_is_fixed():
    matrix = symmetric(VALUES)
    fixed = torch.linalg.eigh(matrix).eigenvectors.T[-3:]
    run = stepped(recurrence(matrix, fixed=fixed), 8)
    assert float((run.basis.rows @ fixed.T).abs().max()) < 1e-14
    assert float(run.ritz().values[-1]) == pytest.approx(0.5, abs=3e-2)


@pytest.mark.parametrize("dtype", PRECISIONS, ids=["float32", "float64"])
@pytest.mark.parametrize(
    "values",
    [np.zeros(50), np.full(50, 3.0), np.repeat([4.0, -1.0], [2, 48]), np.repeat([2.0, 0.0], 25)],
    ids=["zero", "equal", "rank two", "half"],
)
def test_an_invariant_subspace_is_left_for_new_directions(values, dtype):
    matrix = symmetric(values, dtype=dtype)
    run = stepped(recurrence(matrix, capacity=50), 10)
    check(run, matrix, torch.finfo(dtype).eps)


@pytest.mark.parametrize("block", [1, 3, 4, 60])
def test_the_whole_space_gives_all_eigenvalues(block):
    matrix = symmetric(VALUES[:50])
    run = recurrence(matrix, block, capacity=50)
    while not run.spans:
        run.step()
    assert run.full
    assert run.width == 0
    ritz = run.ritz()
    np.testing.assert_allclose(ritz.values.numpy(), np.sort(VALUES[:50]), atol=1e-12)
    assert not ritz.residuals.any()


def test_a_step_does_not_wait_for_the_device(monkeypatch):
    """What would make the host wait for a number is not called between the looks."""
    run = recurrence(symmetric(VALUES))
    with monkeypatch.context() as patched:
        for name in ("item", "__float__", "__bool__", "__int__", "tolist", "cpu", "numpy"):

            def refuse(*_: object, name: str = name) -> None:
                raise AssertionError(f"Tensor.{name} in a step")

            patched.setattr(torch.Tensor, name, refuse)
        stepped(run, 3)
    assert run.basis.size == 12


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", PRECISIONS, ids=["float32", "float64"])
def test_a_step_does_not_synchronise_a_gpu(dtype):
    matrix = symmetric(VALUES, dtype=dtype).cuda()
    run = stepped(recurrence(matrix), 1)
    torch.cuda.set_sync_debug_mode("error")
    try:
        stepped(run, 5)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert float(run.ritz().values[-1]) == pytest.approx(30, rel=1e-4)


def test_what_is_not_finite_is_refused_at_the_next_look():
    matrix = symmetric(VALUES)
    matrix[5, 5] = float("inf")
    run = stepped(recurrence(matrix), 2)
    with pytest.raises(NumericalError, match="not finite"):
        run.ritz()


@pytest.mark.parametrize("dtype", PRECISIONS, ids=["float32", "float64"])
def test_images_of_ritz_vectors_follow_from_those_of_the_basis(dtype):
    matrix = symmetric(VALUES, dtype=dtype)
    start = spherical(4, len(matrix), like=matrix, generator=generator(1))
    run = Recurrence(
        MatrixOperator(matrix), start, capacity=40, generator=generator(2), images=True
    )
    for _ in range(2):
        stepped(run, 6)
        ritz = run.ritz()
        run.restart(ritz, ritz.values > ritz.values[8])
    stepped(run, 2)
    weights = run.ritz().weights.T[-5:]
    eps = torch.finfo(dtype).eps
    expected = run.combine(weights) @ matrix
    torch.testing.assert_close(run.image(weights), expected, rtol=0, atol=30 * 20 * eps)


@pytest.mark.parametrize("dtype", PRECISIONS, ids=["float32", "float64"])
@pytest.mark.parametrize("block", [1, 4])
def test_a_symmetric_operator_has_a_defect_of_rounding(dtype, block):
    run = stepped(recurrence(symmetric(VALUES, dtype=dtype), block), 6)
    assert 0 < run.ritz().defect < 30 * 20 * torch.finfo(dtype).eps


@pytest.mark.parametrize("block", [1, 4])
def test_asymmetry_is_measured_and_kept_over_restarts(block):
    noise = 1e-5 * torch.randn(200, 200, generator=generator(7), dtype=F64)
    matrix = symmetric(VALUES) + noise - noise.T
    run = stepped(recurrence(matrix, block, capacity=24), 5)
    ritz = run.ritz()
    assert 1e-6 < ritz.defect < 1e-3
    run.restart(ritz, ritz.values > ritz.values[3])
    run.step()
    assert run.ritz().defect >= ritz.defect


@pytest.mark.parametrize("block", [1, 4])
@pytest.mark.parametrize("size", [0.1, 1.0])
def test_an_operator_that_is_not_symmetric_is_refused(block, size):
    other = torch.randn(200, 200, generator=generator(7), dtype=F64)
    run = stepped(recurrence(symmetric(VALUES) + size * other, block), 4)
    with pytest.raises(NumericalError, match="not symmetric"):
        run.ritz()


def test_coordinates_are_those_of_the_start_vectors():
    matrix, start = symmetric(VALUES), orthogonal(200)[:3] + 0.5
    run = Recurrence(MatrixOperator(matrix), start, capacity=9, generator=generator(0))
    run.step()
    torch.testing.assert_close(run.coordinates @ run.basis.rows, start)
