from __future__ import annotations

import numpy as np
import pytest

from landscape.signals.trend import theil_sen


def test_a_line_is_found_in_spite_of_outliers():
    x = np.arange(20.0)
    y = 3 * x + 1
    y[[3, 9, 15]] += 100
    found = theil_sen(x, y)
    assert found is not None
    assert found.value == pytest.approx(3, abs=1e-9)
    assert found.interval[0] <= 3 <= found.interval[1]


@pytest.mark.parametrize("number", [6, 12, 31])
def test_the_interval_is_that_of_scipy(number):
    from scipy.stats import theilslopes

    random = np.random.default_rng(number)
    x, y = np.arange(number) ** 1.2, random.standard_normal(number)
    found, oracle = theil_sen(x, y, level=0.9), list(theilslopes(y, x, alpha=0.9))
    assert found is not None
    assert found.value == pytest.approx(oracle[0])
    slopes = np.sort([(y[j] - y[i]) / (x[j] - x[i]) for i in range(number) for j in range(i)])
    for ours, theirs in zip(found.interval, oracle[2:], strict=True):
        places = [int(np.argmin(abs(slopes - end))) for end in (ours, theirs)]
        assert abs(places[0] - places[1]) <= 1  # they round the rank, we round it outwards


def test_too_few_points_tell_nothing():
    assert theil_sen(np.arange(2.0), np.arange(2.0)) is None
    assert theil_sen(np.zeros(5), np.arange(5.0)) is None
    assert theil_sen(np.arange(5.0), np.arange(5.0)) is None
    assert theil_sen(np.arange(6.0), np.arange(6.0)) is not None


def test_what_is_not_finite_is_left_out():
    found = theil_sen(np.arange(9.0), np.array([0, 1, np.nan, 3, -np.inf, 5, 6, 7, 8]))
    assert found is not None
    assert (found.value, found.samples) == (1.0, 7)


@pytest.mark.full
def test_coverage():
    random = np.random.default_rng(0)
    x = np.arange(12.0)
    hits = 0
    for _ in range(2000):
        found = theil_sen(x, 0.5 * x + random.standard_t(3, 12))
        assert found is not None
        hits += found.interval[0] <= 0.5 <= found.interval[1]
    assert hits >= 0.93 * 2000
