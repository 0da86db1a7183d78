"""Two numbers held against one another: arithmetic by hand, and what the interval promises."""

from __future__ import annotations

import math

import numpy as np
import pytest

from landscape.difference import difference, doubts, told_apart, verdict
from landscape.estimate import Estimate, Status


def of(value: float, low: float, high: float, **more) -> Estimate:
    return Estimate(value=value, kind="estimate", interval=(low, high), method="by hand", **more)


def test_the_ends_are_subtracted():
    apart = difference(of(10, 9, 12), of(20, 17, 21))
    assert apart.value == 10
    assert apart.interval == (17 - 12, 21 - 9)


def test_it_covers_as_seldom_as_the_less_sure_of_the_two():
    apart = difference(of(10, 9, 12, level=0.99, samples=5), of(20, 17, 21, level=0.9, samples=7))
    assert (apart.level, apart.samples) == (0.9, 5)
    assert difference(of(1, 0, 2, level=0.9), of(1, 0, 2, level=0.99)).level == 0.9


def test_exact_numbers_have_an_exact_difference():
    apart = difference(Estimate.exact(1.0), Estimate.exact(3.0))
    assert (apart.kind, apart.interval) == ("exact", (2.0, 2.0))


def test_rounding_is_allowed_for():
    a, b = Estimate.exact(1.0), Estimate.exact(1.0 + 4e-6)
    assert told_apart(difference(a, b))
    assert not told_apart(difference(a, b, rounding=1e-5))


@pytest.mark.parametrize(
    ("b", "direction", "word"),
    [
        (of(5, 4, 6), "lower", "better"),
        (of(5, 4, 6), "higher", "worse"),
        (of(5, 4, 6), None, "different"),
        (of(15, 14, 16), "lower", "worse"),
        (of(15, 14, 16), "higher", "better"),
        (of(11, 10, 12), "lower", "indistinguishable"),
        (of(11, 10, 12), None, "indistinguishable"),
        (of(5, 4, 6, status=Status.BUDGET_SPENT), "lower", "undecided"),
        (of(5, -math.inf, 6), "lower", "better"),
        (of(50, 4, math.inf), "lower", "undecided"),
        (of(math.nan, math.nan, math.nan), "lower", "undecided"),
    ],
)
def test_verdicts(b, direction, word):
    assert verdict(difference(of(10, 9, 11), b), direction) == word


def at_least(value: float, high: float = math.inf) -> Estimate:
    return Estimate(value=value, kind="lower_bound", interval=(value, high))


def at_most(value: float) -> Estimate:
    return Estimate(value=value, kind="upper_bound", interval=(0, value))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (at_least(20.63), at_least(10.2)),
        (of(4.144, 4, 4.3), at_least(0)),
        (at_most(5), at_most(3)),
        (at_least(2, 5), at_least(4, 9)),
    ],
)
def test_bounds_that_do_not_tell_which_is_larger_have_no_difference(a, b):
    apart = difference(a, b)
    assert math.isnan(apart.value)
    assert apart.reason == "bounds do not tell which is larger"
    assert verdict(apart, "lower") == "undecided"
    assert "bound" in doubts(a, b, ("A", "B"))


def test_bounds_that_tell_which_is_larger_bound_the_difference():
    apart = difference(of(4, 3, 5), at_least(9))
    assert (apart.kind, apart.value, apart.interval) == ("lower_bound", 4, (4, math.inf))
    assert verdict(apart, "lower") == "worse"
    apart = difference(at_least(9), at_most(3))
    assert (apart.kind, apart.value, verdict(apart, "lower")) == ("upper_bound", -6, "better")


def test_a_bound_without_another_end_lies_anywhere_beyond():
    bound = Estimate(value=9, kind="lower_bound", interval=(9, 9))
    assert verdict(difference(bound, of(10, 9.5, 11)), None) == "undecided"


def test_why_nothing_is_decided():
    spent = of(5, 4, 6, status=Status.BUDGET_SPENT)
    assert doubts(spent, at_most(3), ("A", "B")) == "A: budget spent; B: an upper bound"
    assert doubts(of(5, 4, math.inf), of(1, 0, 2), ("A", "B")) == "A: its interval has no end"
    assert doubts(of(5, 4, 6), of(1, 0, 2), ("A", "B")) == ""


def test_ends_that_touch_are_not_told_apart():
    assert verdict(difference(of(10, 9, 11), of(12, 11, 13)), None) == "indistinguishable"


@pytest.mark.full
@pytest.mark.parametrize("correlation", [-1.0, -0.5, 0.0, 0.5, 1.0])
def test_the_interval_covers_whatever_both_have_in_common(correlation):
    """Two means of normal draws with one spread or two: at least 93 % over 4,000 pairs."""
    source = np.random.default_rng(0)
    covered = 0
    for _ in range(4000):
        shared, own = source.normal(size=2)
        x, y = shared, correlation * shared + math.sqrt(1 - correlation**2) * own
        a = of(x, x - 1.96, x + 1.96)
        b = of(3 + 2 * y, 3 + 2 * y - 3.92, 3 + 2 * y + 3.92)
        low, high = difference(a, b).interval
        covered += low <= 3 <= high
    assert covered >= 0.93 * 4000
