from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import beta

from landscape.signals.intervals import (
    jackknife,
    linearised,
    of_squares,
    over_samples,
    ratio_of_means,
    share,
)


def test_shares_have_the_exact_interval():
    for count, number in ((0, 10), (3, 10), (10, 10), (17, 256)):
        found = share(count, number, "counted")
        low = 0.0 if count == 0 else beta.ppf(0.025, count, number - count + 1)
        high = 1.0 if count == number else beta.ppf(0.975, count + 1, number - count)
        assert found.interval == pytest.approx((low, high))


def test_the_jackknife_of_a_mean_is_students_interval():
    draws = np.random.default_rng(0).standard_normal(16)
    without = (draws.sum() - draws) / 15
    found = jackknife(float(draws.mean()), without, "mean", samples=16)
    assert found.interval == pytest.approx(over_samples(draws, "mean").interval)


def test_the_delta_method_of_a_mean_is_students_interval():
    draws = np.random.default_rng(1).standard_normal(16)
    found = linearised(float(draws.mean()), draws - draws.mean(), "mean")
    assert found.interval == pytest.approx(over_samples(draws, "mean").interval)


def test_a_ratio_is_of_means():
    above, below = np.array([1.0, 2, 3, 10]), np.array([1.0, 1, 2, 2])
    found = ratio_of_means(above, below, "ratio", samples=4)
    assert found.value == pytest.approx(16 / 6)
    assert found.interval[0] < found.value < found.interval[1]


def test_the_ends_of_the_ratio_are_where_the_difference_is_told_from_zero():
    """Fieller: at an end the mean of y − ρx is as many standard errors from 0 as the quantile."""
    from scipy.stats import t

    random = np.random.default_rng(2)
    below = 5 + random.standard_normal(20)
    above = 2 * below + random.standard_normal(20)
    found = ratio_of_means(above, below, "ratio", samples=20)
    for end in found.interval:
        rest = above - end * below
        score = abs(rest.mean()) / (rest.std(ddof=1) / math.sqrt(20))
        assert score == pytest.approx(t.ppf(1 - 0.05 / 4, 19))


def test_a_denominator_that_may_be_zero_leaves_the_ratio_open():
    below = np.array([1.0, -1.2, 0.8, -0.5, 0.3])
    found = ratio_of_means(np.full(5, 2.0) + below**2, below, "ratio", samples=5)
    assert found.interval[1] == math.inf
    assert found.interval[0] >= 0
    none = ratio_of_means(np.full(5, 2.0), -np.abs(below), "ratio", samples=5)
    assert none.kind == found.kind == "lower_bound"
    assert "denominator" in none.method


@pytest.mark.full
def test_coverage_of_ratios_of_skewed_draws():
    random = np.random.default_rng(3)
    hits = 0
    for _ in range(2000):
        x = random.exponential(size=(2, 30))
        found = ratio_of_means(x[0] + x[1], x[1], "ratio", samples=30)
        hits += found.interval[0] <= 2 <= found.interval[1]
    assert hits >= 0.93 * 2000


@pytest.mark.full
@pytest.mark.parametrize("number", [8, 16, 256])
def test_coverage_of_means_of_squares(number):
    random = np.random.default_rng(4)
    hits = 0
    for _ in range(2000):
        low, high = of_squares(random.standard_normal((number, 3)) ** 2 @ np.ones(3), "").interval
        hits += low <= 3 <= high
    assert hits >= 0.93 * 2000
