from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from landscape.estimate import Estimate, Status
from landscape.linalg.density import SpectralMeasure, spectral_measure
from landscape.linalg.operator import MatrixOperator
from landscape.linalg.trace import Diagonal, estimate_traces
from landscape.spectra.summary import Summary, summarise
from tests.oracles import generator, symmetric

VALUES = np.concatenate([np.linspace(-1, 0, 30), np.linspace(0.1, 2, 60), [20.0]])


def summary(values: np.ndarray, *, ridge: float | None = None, probes: int = 16) -> Summary:
    operator = MatrixOperator(symmetric(values))
    measure = spectral_measure(operator, probes=probes, steps=60, generator=generator(0))
    return summarise(
        measure,
        largest=Estimate.exact(float(values[np.argmax(np.abs(values))])),
        frobenius_squared=Estimate.exact(float(np.square(values).sum())),
        diagonal=estimate_traces(operator, blocks=(), generator=generator(1)).diagonal,
        ridge=ridge,
        floor=1e-9,
    )


@pytest.mark.parametrize("steps", [1, 3, 7])
def test_after_too_few_steps_a_density_leaves_everything_open(steps):
    operator = MatrixOperator(symmetric(VALUES))
    made = spectral_measure(operator, probes=16, steps=60, generator=generator(0))
    short = spectral_measure(operator, probes=16, steps=steps, generator=generator(0))
    ended = SpectralMeasure(tuple(replace(q, cut=True) for q in short.quadratures), short.size)
    ranks, dimensions, masses = [], [], []
    for measure in (made, ended):
        found = summarise(
            measure,
            largest=Estimate.exact(20.0),
            frobenius_squared=Estimate.exact(float(np.square(VALUES).sum())),
            diagonal=estimate_traces(operator, blocks=(), generator=generator(1)).diagonal,
            ridge=0.5,
            floor=1e-9,
        )
        ranks.append(measure.effective_rank())
        dimensions.append(found.effective_dimension)
        masses.append(found.negative_mass)
    for told, whole in ((ranks, (1, 91)), (dimensions, (0, 91)), (masses, (0, 1))):
        assert told[0].status is Status.CONVERGED
        assert told[1].status is Status.BUDGET_SPENT
        assert told[1].interval == whole
        assert told[0].interval != whole


def within(estimate: Estimate, truth: float) -> bool:
    low, high = estimate.interval
    slack = (high - low) / 2
    return low - slack <= truth <= high + slack


def test_against_the_eigenvalues_themselves():
    found = summary(VALUES, ridge=0.5)
    absolute = np.abs(VALUES)
    assert found.ridge == 0.5
    assert found.stable_rank.value == pytest.approx(np.square(VALUES).sum() / 400)
    assert within(found.effective_dimension, float((absolute / (absolute + 0.5)).sum()))
    assert within(found.negative_mass, float(-VALUES[VALUES < 0].sum() / absolute.sum()))
    assert within(found.negative_fraction, float((VALUES < -1e-9).mean()))
    share = float(symmetric(VALUES).diagonal().square().sum() / np.square(VALUES).sum())
    assert found.diagonal_share.interval[0] <= share <= found.diagonal_share.interval[1]
    assert found.negative_mass.half_width < 0.2


def test_the_diagonal_is_the_diagonal():
    matrix = symmetric(VALUES)
    found = estimate_traces(
        MatrixOperator(matrix), blocks=(), generator=generator(3), tolerance=1e-9, max_probes=512
    ).diagonal
    off = float((found.mean - matrix.diagonal()).norm())
    assert off <= 2 * found.error_norm
    assert found.error_norm <= 0.2 * float(matrix.norm())
    exact = estimate_traces(
        MatrixOperator(torch.diag(torch.from_numpy(VALUES))), blocks=(), generator=generator(0)
    ).diagonal
    np.testing.assert_allclose(exact.mean.numpy(), VALUES, atol=1e-12)
    assert exact.error_norm == pytest.approx(0, abs=1e-12)


def test_a_positive_spectrum_has_no_negative_mass():
    found = summary(np.linspace(1, 2, 40))
    assert found.negative_mass.value == 0
    assert found.negative_fraction.value == 0
    assert found.ridge == pytest.approx(0.02)


def test_no_curvature_has_no_rank():
    found = summary(np.zeros(10))
    assert found.stable_rank.value == 0
    assert found.effective_dimension.value == 0
    assert found.negative_mass.value == 0


@pytest.mark.full
def test_the_intervals_of_the_negative_mass_and_the_effective_dimension_cover():
    values = np.concatenate([np.linspace(-1, 0, 20), np.linspace(0.1, 2, 40)])
    operator = MatrixOperator(symmetric(values))
    absolute = np.abs(values)
    truths = (-values[values < 0].sum() / absolute.sum(), (absolute / (absolute + 0.5)).sum())
    hits = np.zeros(2)
    for seed in range(2000):
        measure = spectral_measure(operator, probes=8, steps=12, generator=generator(seed))
        found = summarise(
            measure,
            largest=Estimate.exact(2.0),
            frobenius_squared=Estimate.exact(1.0),
            diagonal=Diagonal(torch.zeros(1), 0.0),
            ridge=0.5,
            floor=1e-9,
        )
        for i, one in enumerate((found.negative_mass, found.effective_dimension)):
            hits[i] += one.interval[0] <= truths[i] <= one.interval[1]
    assert (hits / 2000 >= 0.93).all()
