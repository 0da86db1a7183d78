from __future__ import annotations

import numpy as np
import pytest
import torch

from landscape.budget import Budget, spending
from landscape.estimate import Status
from landscape.linalg.density import spectral_measure
from landscape.linalg.krylov import krylov
from landscape.linalg.operator import LinearOperator
from landscape.subject.cost import count_products
from tests.oracles import F64, generator

VALUES = np.concatenate([np.arange(10.0, 0, -1), np.linspace(-0.2, 0.8, 2990)])


class Diagonal(LinearOperator):
    """diag(λ), counting products."""

    def __init__(self, values: np.ndarray, dtype: torch.dtype = F64) -> None:
        super().__init__((len(values), len(values)), dtype=dtype, device=torch.device("cpu"))
        self.values = torch.from_numpy(values).to(dtype)
        self.count = 0

    def _products(self, rows: torch.Tensor) -> torch.Tensor:
        self.count += len(rows)
        count_products(len(rows))
        return rows * self.values


@pytest.mark.parametrize("memory_bytes", [None, 2 * 20 * 3000 * 8, 1])
def test_measure_is_that_of_single_runs(memory_bytes):
    """Also where memory allows some probes only, or not even one, at a time."""
    run = krylov(
        Diagonal(VALUES), probes=5, steps=20, generator=generator(4), memory_bytes=memory_bytes
    )
    alone = spectral_measure(
        Diagonal(VALUES), probes=5, steps=20, generator=generator(4), memory_bytes=20 * 3000 * 8
    )
    assert run.measure.size == 3000
    for one, other in zip(run.measure.quadratures, alone.quadratures, strict=True):
        np.testing.assert_allclose(one.nodes, other.nodes, atol=1e-10)
        np.testing.assert_allclose(one.weights, other.weights, atol=1e-10)
        np.testing.assert_allclose(one.residuals, other.residuals, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("memory_bytes", [None, 2 * 32 * 3000 * 4])
def test_pairs_go_on_from_the_same_run(dtype, memory_bytes):
    operator = Diagonal(VALUES, dtype)
    run = krylov(operator, probes=6, steps=32, generator=generator(0), memory_bytes=memory_bytes)
    assert run.products == operator.count == 6 * 32
    pairs = run.eigenpairs(top=10, bottom=2, generator=generator(1), tolerance=1e-3)
    assert operator.count == run.products + pairs.products
    assert pairs.complete
    assert pairs.status is Status.CONVERGED
    slack = 2 * pairs.tolerance
    np.testing.assert_allclose(pairs.top.values, VALUES[:10], atol=slack)
    np.testing.assert_allclose(pairs.bottom.values, np.sort(VALUES)[:2], atol=slack)
    for end in (pairs.top, pairs.bottom):
        vectors = end.vectors.double()
        misfit = (
            vectors * torch.from_numpy(VALUES) - torch.from_numpy(end.values)[:, None] * vectors
        )
        np.testing.assert_allclose(end.residuals, misfit.norm(dim=1), rtol=0.02, atol=1e-5)


def test_pairs_that_the_run_has_found_cost_only_the_proof():
    operator = Diagonal(VALUES)
    run = krylov(operator, probes=8, steps=40, generator=generator(0))
    pairs = run.eigenpairs(top=10, generator=generator(1))
    assert pairs.complete
    assert pairs.products <= 64 + 10  # search for what was missed, residuals


def test_what_the_run_missed_is_found():
    """More equal eigenvalues than probes."""
    values = np.concatenate([[5.0] * 6, [3.0] * 2, np.linspace(-1, 1, 992)])
    run = krylov(Diagonal(values), probes=2, steps=12, generator=generator(0))
    assert np.count_nonzero(run.ritz.values > 4.9) < 6
    pairs = run.eigenpairs(top=8, generator=generator(1))
    assert pairs.complete
    np.testing.assert_allclose(pairs.top.values, [5] * 6 + [3] * 2, atol=1e-3)


@pytest.mark.parametrize("size", [1, 2, 7, 30])
def test_small_operators(size):
    values = np.linspace(-1, 2, size)
    run = krylov(Diagonal(values), probes=8, steps=20, generator=generator(0))
    pairs = run.eigenpairs(top=min(3, size), bottom=min(2, size), generator=generator(1))
    assert pairs.complete
    np.testing.assert_allclose(pairs.top.values, np.sort(values)[::-1][:3], atol=1e-12)
    assert run.measure.moment(power=2).mean() > 0


def test_a_budget_that_is_too_small_is_reported():
    crowded = np.linspace(0, 1, 3000)
    run = krylov(Diagonal(crowded), probes=2, steps=8, generator=generator(0))
    pairs = run.eigenpairs(top=4, bottom=2, generator=generator(1), tolerance=1e-9, max_products=40)
    assert pairs.status is Status.NOT_CONVERGED
    assert not pairs.complete
    for end in (pairs.top, pairs.bottom):
        nearest = np.abs(end.values[:, None] - crowded[None, :]).min(axis=1)
        assert (nearest <= end.residuals + 1e-12).all()


@pytest.mark.parametrize(("products", "steps"), [(20, 2), (24, 3), (60, 7), (64, 8), (100, 12)])
def test_a_run_that_the_budget_cuts_short_is_one_of_fewer_steps(products, steps):
    """And keeps within the budget, and within the spectrum."""
    operator = Diagonal(VALUES)
    with spending(Budget(products=products)):
        run = krylov(operator, probes=8, steps=48, generator=generator(4))
    short = krylov(Diagonal(VALUES), probes=8, steps=steps, generator=generator(4))
    assert run.products == operator.count == 8 * steps
    assert run.measure.steps == short.measure.steps == steps
    for one, other in zip(run.measure.quadratures, short.measure.quadratures, strict=True):
        np.testing.assert_allclose(one.nodes, other.nodes, atol=1e-10)
        np.testing.assert_allclose(one.weights, other.weights, atol=1e-10)
        np.testing.assert_allclose(one.residuals, other.residuals, atol=1e-10)
    low, high = run.measure.range
    assert VALUES.min() <= low < high <= VALUES.max()
    assert run.measure.status is (Status.CONVERGED if steps >= 8 else Status.BUDGET_SPENT)
    assert short.measure.status is Status.CONVERGED  # as asked


def test_a_krylov_space_that_ends_is_not_cut_short():
    with spending(Budget(products=12)):
        run = krylov(Diagonal(np.repeat([1.0, 3.0], 50)), probes=2, steps=9, generator=generator(0))
    assert run.measure.steps == 2
    assert run.measure.status is Status.CONVERGED
    np.testing.assert_allclose(run.measure.range, (1, 3), atol=1e-12)
