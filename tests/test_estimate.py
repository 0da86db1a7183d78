from __future__ import annotations

import dataclasses
import itertools
import math
import re

import numpy as np
import pytest

from landscape.estimate import Estimate, Status, t_half_width, worst
from landscape.reports.text import plain_cell


def draws(seed: int, count: int = 12) -> np.ndarray:
    return np.random.default_rng(seed).normal(3.0, 2.0, count)


# --- the mean of independent draws -------------------------------------------------------------


def test_interval_is_that_of_student():
    from scipy.stats import t, ttest_1samp

    found = Estimate.mean(draws(0), method="draws", level=0.9)
    low, high = ttest_1samp(draws(0), 0).confidence_interval(0.9)
    assert found.interval == pytest.approx((low, high))
    assert found.solver == found.interval
    assert found.value == pytest.approx(draws(0).mean())
    assert (found.samples, found.kind, found.level, found.method) == (12, "estimate", 0.9, "draws")
    half = t.ppf(0.95, 11) * draws(0).std(ddof=1) / math.sqrt(12)
    assert t_half_width(draws(0), 0.9) == pytest.approx(half)
    assert found.half_width == pytest.approx(half)


def test_equal_draws_leave_no_doubt():
    found = Estimate.mean(np.full(5, 2.5), method="")
    assert found.interval == (2.5, 2.5)


def test_one_draw_leaves_every_doubt():
    assert t_half_width(np.array([1.0])) == math.inf


def test_more_draws_and_a_lower_level_narrow_the_interval():
    assert t_half_width(np.tile(draws(1), 4)) < t_half_width(draws(1))
    assert t_half_width(draws(1), 0.5) < t_half_width(draws(1), 0.95)


@pytest.mark.full
def test_interval_of_a_mean_covers_as_often_as_it_says():
    covered = [
        low <= 3.0 <= high
        for low, high in (Estimate.mean(draws(i), method="").interval for i in range(2000))
    ]
    assert 0.93 <= np.mean(covered) <= 0.97


# --- the number itself -------------------------------------------------------------------------


def test_an_exact_number_has_an_interval_of_one_point():
    found = Estimate.exact(1.5, "counted")
    assert found.interval == (1.5, 1.5)
    assert (found.kind, found.level, found.half_width) == ("exact", 1.0, 0.0)
    assert found.status.settled


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_says_so(value):
    found = Estimate.exact(value)
    assert found.status is Status.NOT_FINITE
    assert not found.status.settled
    assert str(value) in (found.reason or "")


def test_a_reason_that_is_given_is_kept():
    found = Estimate(
        value=math.nan,
        kind="estimate",
        interval=(0, 1),
        reason="one probe only",
        status=Status.SKIPPED,
    )
    assert (found.reason, found.status) == ("one probe only", Status.SKIPPED)


def test_an_estimate_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Estimate.exact(1.0).value = 2.0  # type: ignore[misc]


# --- in words ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"kind": "estimate", "interval": (1.5, 1.54)}, "1.52 ± 0.02"),
        ({"kind": "exact", "interval": (1.52, 1.52)}, "1.52"),
        ({"kind": "upper_bound", "interval": (0, 1.52)}, "≤ 1.52"),
        ({"kind": "lower_bound", "interval": (1.52, math.inf)}, "≥ 1.52"),
        ({"kind": "estimate", "interval": (-math.inf, math.inf)}, "1.52"),
        (
            {"kind": "exact", "interval": (1.52, 1.52), "status": Status.BUDGET_SPENT},
            "1.52 (budget spent)",
        ),
    ],
)
def test_text_shows_value_doubt_and_kind(settings, text):
    assert str(Estimate(value=1.52, **settings)) == text


@pytest.mark.parametrize(
    ("value", "interval", "text"),
    [
        (0.369, (0.009, 0.729), "0.369 ± 0.36"),  # 0.4 would hold zero
        (-0.369, (-0.729, -0.009), "-0.369 ± 0.36"),
        (0.42, (-0.01, 0.85), "0.42 ± 0.43"),  # 0.4 would leave it out
        (0.3694, (0.0002, 0.7386), "0.3694 [0.0002, 0.739]"),  # no three digits tell it
        (1.8, (0.1, 3.5), "1.8 ± 1.7"),
    ],
)
def test_a_half_width_is_not_rounded_across_zero(value, interval, text):
    assert str(Estimate(value=value, kind="estimate", interval=interval)) == text


def test_format_takes_the_precision():
    found = Estimate(value=math.pi, kind="estimate", interval=(math.pi - 0.5, math.pi + 0.5))
    assert f"{found:.2f}" == "3.14 ± 0.5"
    assert f"{Estimate.exact(math.nan):.2f}" == "nan"


# --- statuses ----------------------------------------------------------------------------------


def test_every_status_has_a_sentence():
    sentences = {status.sentence for status in Status}
    assert len(sentences) == len(Status)
    assert all(sentence.endswith(".") for sentence in sentences)


def test_settled_is_what_needs_no_warning():
    settled = {status for status in Status if status.settled}
    assert settled == {Status.CONVERGED, Status.INVARIANT_SUBSPACE}


def test_the_worst_does_not_depend_on_order_or_grouping():
    for one, two, three in itertools.product(Status, repeat=3):
        assert worst(one, two) is worst(two, one)
        assert (
            worst(worst(one, two), three) is worst(one, worst(two, three)) is worst(one, two, three)
        )
        assert worst(one, one) is one
    assert worst() is Status.CONVERGED
    assert worst(Status.CONVERGED, Status.NOT_FINITE, Status.BUDGET_SPENT) is Status.NOT_FINITE


@pytest.mark.parametrize("status", Status)
def test_the_worst_is_unsettled_when_any_part_is(status):
    assert worst(Status.CONVERGED, status).settled == status.settled
    assert worst(Status.INVARIANT_SUBSPACE, status).settled == status.settled


@pytest.mark.parametrize(
    ("value", "interval"),
    [(769.0, (77.0, 1615.0)), (1797.0, (90.0, 3683.0)), (17626.85, (-1.15, 35254.85))],
)
def test_what_is_told_holds_zero_as_the_interval_does(value, interval):
    one = Estimate(value=value, kind="estimate", interval=interval, method="")
    for told in (f"{one}", re.sub(r"(?<=\d),(?=\d)", "", plain_cell(one)).replace("−", "-")):
        middle, _, half = told.partition(" ± ")
        ends = told.partition("[")[2].rstrip("]").split(", ")
        if half:
            ends = [float(middle) - float(half), float(middle) + float(half)]
        low, high = map(float, ends)
        assert (low <= 0 <= high) == (interval[0] <= 0 <= interval[1]), told
