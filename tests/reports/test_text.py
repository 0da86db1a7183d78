from __future__ import annotations

import math

import pytest

from landscape.estimate import Estimate, Status
from landscape.reports import text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (True, "yes"),
        (3466, "3,466"),
        (0.0, "0"),
        (0.02120, "0.02120"),
        (-12.3456, "−12.35"),
        (3e-7, "3.000×10⁻⁷"),
        (1234567.0, "1.235×10⁶"),
        (math.nan, "not finite"),
        (-math.inf, "−∞"),
    ],
)
def test_number(value: float | None, shown: str) -> None:
    assert text.number(value) == shown


def estimate(value: float, low: float, high: float, **more: object) -> Estimate:
    return Estimate(value=value, kind="estimate", interval=(low, high), **more)  # type: ignore[arg-type]


def test_digits_follow_the_doubt() -> None:
    assert text.plain_cell(estimate(9.609, 8.8, 10.4)) == "9.6 ± 0.8"
    assert text.plain_cell(estimate(2.1947412, 2.1947409, 2.1947415)) == "2.19474 ± 3×10⁻⁷"
    assert text.plain_cell(estimate(18.7, 14.0, 26.0)) == "19 [14, 26]"


def test_a_half_width_is_not_rounded_across_zero() -> None:
    assert text.plain_cell(estimate(0.369, 0.009, 0.729)) == "0.37 ± 0.36"
    assert text.plain_cell(estimate(0.42, -0.01, 0.85)) == "0.42 ± 0.43"
    assert text.plain_cell(estimate(15.0, 0.4, 29.6)) == "15 ± 14.6"
    assert text.plain_cell(estimate(0.37, 0.0002, 0.7398)) == "0.37 [2.0×10⁻⁴, 0.74]"


def test_bounds_and_exact_numbers_have_no_half_width() -> None:
    bound = Estimate(value=807.2, kind="lower_bound", interval=(807.2, math.nan))
    assert text.plain_cell(bound) == "≥ 807.2"
    assert text.plain_cell(Estimate.exact(0.5)) == "0.5000"


def test_unsettled_numbers_say_so() -> None:
    shown = text.plain_cell(estimate(1.0, 0.5, 1.5, status=Status.BUDGET_SPENT))
    assert shown.endswith("(budget spent)")
    assert "not finite" in text.plain_cell(estimate(math.nan, math.nan, math.nan))


def test_words_hold_interval_and_method() -> None:
    words = text.doubt_in_words(estimate(1.0, 0.5, 1.5, samples=64, method="Hutchinson"))
    assert words == "estimate; 95 % interval [0.500000, 1.50000]; 64 samples; Hutchinson; converged"


def test_clean_leaves_nothing_that_controls() -> None:
    dirty = "a\x1b[31mb\x00\x9bc\u202ed\u2028e\ud800\u200bf\n"
    assert text.clean(dirty) == "a [31mb c d e f "


def test_shorten_cuts_the_middle() -> None:
    short = text.shorten("a" * 100 + "b" * 100)
    assert len(short) == 120
    assert short.startswith("aa")
    assert short.endswith("bb")
    assert text.shorten("name") == "name"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.004, "< 0.1 s"), (7.23, "7.2 s"), (125, "2 min 5 s"), (7260, "2 h 1 min")],
)
def test_duration(seconds: float, shown: str) -> None:
    assert text.duration(seconds) == shown
