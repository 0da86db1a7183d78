"""Means over samples and their paired differences: arithmetic by hand, exact laws, coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest, t

from landscape.solutions.quality import mean, median, paired

ONES = np.ones(40)


def test_a_share_has_the_interval_of_clopper_and_pearson():
    wrong = np.zeros(40)
    wrong[:7] = 1
    found = mean(wrong, ONES, "by hand")
    expected = binomtest(7, 40).proportion_ci(0.95, "exact")
    assert found.value == 7 / 40
    assert found.interval == pytest.approx((expected.low, expected.high))


def test_a_plain_mean_has_students_interval():
    values = np.random.default_rng(0).normal(size=40)
    found = mean(values, ONES, "by hand")
    half = t.ppf(0.975, 39) * values.std(ddof=1) / math.sqrt(40)
    assert found.interval == pytest.approx((values.mean() - half, values.mean() + half))


def test_samples_weigh_as_much_as_counts_in_them():
    values, weights = np.array([1.0, 3.0, 5.0]), np.array([1.0, 1.0, 2.0])
    assert mean(values, weights, "by hand").value == pytest.approx((1 + 3 + 10) / 4)
    assert paired(np.zeros(3), values, weights, "by hand").value == pytest.approx(3.5)


def test_the_doubt_of_a_weighted_mean_is_that_of_a_ratio():
    """Taylor's: Var(Σwx / Σw) ≈ n/(n − 1) Σ w²(x − m)² / (Σw)² (Cochran 1977, §6.3)."""
    source = np.random.default_rng(2)
    values, weights = source.normal(size=50), source.integers(1, 30, size=50).astype(float)
    centre = np.average(values, weights=weights)
    spread = np.sqrt(50 / 49 * (weights**2 * (values - centre) ** 2).sum()) / weights.sum()
    half = t.ppf(0.975, 49) * spread
    for found in (mean(values, weights, ""), paired(0 * values, values, weights, "")):
        assert found.value == pytest.approx(centre)
        assert found.interval == pytest.approx((centre - half, centre + half))


def test_pairing_removes_what_both_have_in_common():
    hard = np.random.default_rng(0).exponential(10, size=200)
    found = paired(hard, hard + 0.01, np.ones(200), "by hand")
    assert found.value == pytest.approx(0.01)
    assert found.half_width < 1e-6
    assert paired(hard, hard, np.ones(200), "by hand").interval == (0, 0)


def test_the_same_errors_are_not_known_to_be_the_same_elsewhere():
    low, high = paired(np.zeros(40), np.zeros(40), ONES, "by hand").interval
    assert low < 0 < high
    assert high == pytest.approx(1.96 * math.sqrt(1) / 42, rel=1e-3)


def test_errors_by_agresti_and_min():
    """The example of the method: b = 3, c = 12 of 50, with half a sample added to both."""
    first, other = np.zeros(50), np.zeros(50)
    other[:3], first[3:15] = 1, 1
    found = paired(first, other, np.ones(50), "by hand")
    assert found.value == pytest.approx(-9 / 50)
    centre, spread = -9 / 52, math.sqrt(16 - 81 / 52) / 52
    assert found.interval == pytest.approx((centre - 1.96 * spread, centre + 1.96 * spread), 1e-3)


def test_the_median_lies_between_ordered_samples():
    found = median(np.arange(100.0), "by hand")
    assert found.value == 49.5
    assert found.interval == (39, 60)  # ranks 40 and 61: P(Bin(100, ½) ≤ 39) = 0.0176
    assert median(np.arange(4.0), "by hand").interval == (-math.inf, math.inf)


@pytest.mark.full
def test_coverage_of_paired_errors():
    source, covered = np.random.default_rng(0), 0
    for _ in range(2000):
        kind = source.choice(4, size=60, p=[0.85, 0.08, 0.03, 0.04])
        first, other = (kind == 1) | (kind == 3), (kind == 2) | (kind == 3)
        low, high = paired(first.astype(float), other.astype(float), np.ones(60), "").interval
        covered += low <= 0.03 - 0.08 <= high
    assert covered >= 0.93 * 2000


@pytest.mark.full
def test_coverage_of_the_median():
    source = np.random.default_rng(0)
    ends = [median(source.exponential(size=50), "").interval for _ in range(2000)]
    assert sum(low <= math.log(2) <= high for low, high in ends) >= 0.93 * 2000
