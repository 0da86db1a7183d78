"""Slopes in ln(width) and what their intervals say."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from landscape.coordinates.slopes import exponent, gravest, judged
from landscape.estimate import Estimate

WIDTHS = np.array([32.0, 64.0, 128.0, 512.0])


def curve(seed: int, *, seeds: int, noise: float, slope: float = 0.5) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(seeds, len(WIDTHS)))
    return 3 * WIDTHS**slope * np.exp(noise * drawn)


@pytest.mark.parametrize("slope", [-0.5, 0.0, 1.25])
def test_a_power_law_is_found_exactly(slope):
    found = exponent(WIDTHS, np.tile(7 * WIDTHS**slope, (4, 1)))
    assert found is not None
    assert found.value == pytest.approx(slope, abs=1e-12)
    assert found.half_width < 1e-12


def test_the_interval_is_students_over_the_slopes_of_the_seeds():
    values = curve(1, seeds=6, noise=0.3)
    slopes = [np.polyfit(np.log(WIDTHS), np.log(row), 1)[0] for row in values]
    error = stats.sem(slopes)
    expected = stats.t.interval(0.95, 5, np.mean(slopes), error)
    mean: Any = stats.linregress(np.log(WIDTHS), np.log(values).mean(0))
    assert error * stats.t.ppf(0.975, 5) > mean.stderr * stats.t.ppf(0.975, 2)  # seeds decide
    found = exponent(WIDTHS, values)
    assert found is not None
    assert found.value == pytest.approx(np.mean(slopes))
    assert found.interval == pytest.approx(expected)


def test_a_bent_curve_is_told_by_its_residuals():
    """All seeds alike: only the fit has a doubt, that of a textbook regression."""
    bent = WIDTHS**0.5 * np.exp(0.05 * np.log(WIDTHS) ** 2)
    line: Any = stats.linregress(np.log(WIDTHS), np.log(bent))
    found = exponent(WIDTHS, np.tile(bent, (3, 1)))
    assert found is not None
    assert found.value == pytest.approx(line.slope)
    assert found.half_width == pytest.approx(line.stderr * stats.t.ppf(0.975, 2))


@pytest.mark.full
@pytest.mark.parametrize("seeds", [3, 5])
def test_intervals_cover(seeds):
    covered = 0
    for seed in range(2000):
        found = exponent(WIDTHS, curve(seed, seeds=seeds, noise=0.2))
        assert found is not None
        covered += found.interval[0] <= 0.5 <= found.interval[1]
    assert covered >= 0.93 * 2000


def test_nothing_has_no_slope():
    assert exponent(WIDTHS, np.zeros((3, 4))) is None


@pytest.mark.parametrize(("value", "word"), [(0.0, "zero"), (math.nan, "not finite")])
def test_what_has_no_logarithm_is_named(value, word):
    values = curve(0, seeds=3, noise=0.1)
    values[1, 2] = value
    found = exponent(WIDTHS, values)
    assert found is not None
    assert math.isnan(found.value)
    assert found.reason == f"{word} at width 128"
    assert judged(found, 0.25, may_fall=True) == "undecided"


@pytest.mark.parametrize(
    ("interval", "size", "change"),
    [
        ((-0.1, 0.2), "pass", "pass"),
        ((0.1, 0.3), "undecided", "undecided"),
        ((0.3, 0.5), "fail", "fail"),
        ((-0.6, -0.3), "pass", "fail"),
        ((-0.6, -0.2), "pass", "undecided"),
        ((-0.6, 0.6), "undecided", "undecided"),
        ((-math.inf, math.inf), "undecided", "undecided"),
    ],
)
def test_three_outcomes(interval, size, change):
    slope = Estimate(value=np.clip(0, *interval), kind="estimate", interval=interval)
    assert judged(slope, 0.25, may_fall=True) == size
    assert judged(slope, 0.25, may_fall=False) == change


def test_a_curve_that_bends_passes_when_it_leaves_out_the_next_exponent():
    for ends, outcome in (
        ((-0.27, -0.05), "pass"),
        ((-0.51, -0.05), "undecided"),
        ((-0.45, -0.3), "fail"),
        ((0.1, 0.51), "undecided"),
    ):
        slope = Estimate(value=sum(ends) / 2, kind="estimate", interval=ends)
        assert judged(slope, 0.25, may_fall=False, bends=True) == outcome


def test_the_gravest_outcome():
    assert gravest([]) == gravest(["pass"]) == "pass"
    assert gravest(["pass", "undecided"]) == "undecided"
    assert gravest(["undecided", "fail", "pass"]) == "fail"
