from __future__ import annotations

import math

import numpy as np
import pytest

from landscape.linalg.operator import MatrixOperator
from landscape.spectra.divergence import jensen_shannon, log_density, signed_decades
from landscape.spectra.heterogeneity import heterogeneity, measure_block
from tests.oracles import generator, symmetric


def block(values, name="one", *, probes=8, steps=200, seed=0):
    operator = MatrixOperator(symmetric(values, seed))
    return measure_block(operator, name, probes=probes, steps=steps, generator=generator(seed))


def test_the_axis_has_decades_on_both_sides():
    values = np.array([0, 1e-4, 1.0, -1.0, 1e9])
    np.testing.assert_allclose(
        signed_decades(values), [0, math.log10(2), 4.0000434, -4.0000434, 6], atol=1e-6
    )


def test_equal_densities_have_distance_zero_and_disjoint_ones_one():
    one = log_density(np.array([1.0, 2.0]), np.array([0.5, 0.5]))
    other = log_density(np.array([-1.0]), np.array([1.0]))
    assert one.sum() == pytest.approx(1)
    assert jensen_shannon(one, one) == 0
    assert jensen_shannon(one, other) == pytest.approx(1, abs=1e-9)


def test_half_of_the_mass_in_common_has_the_closed_form():
    p, q = np.array([0.5, 0.5, 0.0]), np.array([0.5, 0.0, 0.5])
    assert jensen_shannon(p, q) == pytest.approx(math.sqrt(0.5))


def test_identical_blocks_are_homogeneous():
    found = heterogeneity(
        [block(np.linspace(1, 2, 30), name, seed=i) for i, name in enumerate("ab")]
    )
    assert found is not None
    assert found.distance.value == pytest.approx(0, abs=1e-6)
    assert found.distance.kind == "exact"
    assert found.spread.value == pytest.approx(0, abs=1e-12)


def test_blocks_decades_apart_are_not():
    blocks = [block(np.linspace(1, 2, 30)), block(1e-3 * np.linspace(1, 2, 40))]
    found = heterogeneity(blocks)
    assert found is not None
    assert found.distance.value == pytest.approx(1, abs=1e-6)
    assert found.spread.value == pytest.approx(3)
    assert found.flat == 0


def test_a_block_without_positive_curvature_is_left_out_of_the_spread():
    found = heterogeneity([block([1.0, 2.0]), block([0.0, 0.0]), block([20.0])])
    assert found is not None
    assert found.flat == 1
    assert found.spread.value == pytest.approx(1)


def test_quadrature_agrees_with_the_dense_block():
    values = np.concatenate([np.linspace(0.1, 1, 150), [8.0, 5.0]])
    other = np.linspace(0.5, 3, 160)
    dense = heterogeneity([block(values), block(other)])
    drawn = heterogeneity([block(values, probes=6, steps=20), block(other, probes=6, steps=20)])
    assert dense is not None
    assert drawn is not None
    low, high = drawn.distance.interval
    assert low <= dense.distance.value <= high
    assert high - low < 0.3
    for exact, estimate in zip(dense.blocks, drawn.blocks, strict=True):
        assert estimate.largest.residual is not None
        assert abs(estimate.largest.value - exact.largest.value) <= estimate.largest.residual
        low, high = estimate.trace_per_parameter.interval
        width = high - low
        assert low - width <= exact.trace_per_parameter.value <= high + width
    low, high = drawn.spread.interval
    assert low <= dense.spread.value <= high


def test_one_block_has_nothing_to_differ_from():
    assert heterogeneity([block([1.0, 2.0])]) is None
