from __future__ import annotations

import numpy as np
import pytest

from landscape.signals.growth import growth


def test_a_line_is_found():
    norms = np.array([0.5, 1.0, 2.0, 4.0, 3.0, 5.0])
    found = growth(np.stack([norms, 2 + 3 * norms], axis=1))
    assert found is not None
    assert found.constant.value == pytest.approx(2)
    assert found.slope.value == pytest.approx(3)
    assert found.trend is not None
    assert found.trend.value == pytest.approx(3)
    assert found.threshold is not None
    assert found.threshold.value == pytest.approx(2 / 3)


@pytest.mark.parametrize("seed", range(20))
def test_it_is_the_lowest_line_above_the_points(seed):
    """The oracle is a linear programme."""
    from scipy.optimize import linprog

    random = np.random.default_rng(seed)
    norms, smooth = random.exponential(size=(2, 9))
    smooth += (seed % 3) * norms
    found = growth(np.stack([norms, smooth], axis=1))
    assert found is not None
    exact = linprog([1, norms.mean()], A_ub=-np.stack([np.ones(9), norms], axis=1), b_ub=-smooth)
    ours = found.constant.value + found.slope.value * norms.mean()
    assert ours == pytest.approx(exact.fun)
    assert (found.constant.value + found.slope.value * norms >= smooth - 1e-12).all()


def test_x_to_the_fourth_has_smoothness_that_grows():
    """β ≈ 12 x² and ‖g‖ = 4 |x|³: no constant L₀ alone bounds it."""
    x = np.linspace(0.2, 3, 12)
    found = growth(np.stack([4 * x**3, 12 * x**2], axis=1))
    assert found is not None
    assert found.slope.value > 0
    assert found.trend is not None
    assert found.trend.interval[0] > 0


def test_on_a_quadratic_it_does_not_grow():
    norms = np.linspace(1, 5, 8)
    found = growth(np.stack([norms, np.full(8, 3.0)], axis=1))
    assert found is not None
    assert (found.constant.value, found.slope.value) == (3.0, 0.0)
    assert found.threshold is None


def test_three_checkpoints_are_needed():
    assert growth(np.ones((2, 2))) is None
    assert growth(np.array([[1.0, 2], [np.nan, 3], [2.0, 2]])) is None
