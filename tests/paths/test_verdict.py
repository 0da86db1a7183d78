from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from landscape.estimate import Estimate
from landscape.paths.barrier import Barrier, Barriers, barrier
from landscape.paths.constant import Constant
from landscape.paths.evaluation import Evaluated
from landscape.paths.verdict import (
    Tolerance,
    Verdict,
    pair_verdict,
    path_verdict,
    refusal,
    tolerance_of,
)
from tests.paths.test_band import T, draw

TOLERANCE = Tolerance(loss=0.1, error=0.02)


def estimate(low: float, value: float, high: float, hidden: float = 0.0) -> Estimate:
    return Estimate(
        value=value,
        kind="estimate",
        interval=(low, high + hidden),
        sampling=(low, high),
        solver=(value, value + hidden),
        samples=1000,
    )


def of(*supremum: float) -> Barrier:
    one = estimate(*supremum)
    empty = np.zeros(0)
    return Barrier(
        supremum=one,
        mean=one,
        maximum=one,
        midpoint=one,
        argmax=0.5,
        hidden=0.0,
        value=empty,
        lower=empty,
        upper=empty,
    )


LOW, HIGH, OPEN = (0.0, 0.01, 0.02), (0.2, 0.3, 0.4), (0.0, 0.05, 0.15)
LOW_ERROR, HIGH_ERROR, OPEN_ERROR = (0.0, 0.001, 0.01), (0.1, 0.2, 0.3), (0.0, 0.01, 0.03)


@pytest.mark.parametrize(
    ("loss", "error", "word"),
    [
        (LOW, LOW_ERROR, "connected"),
        (LOW, None, "connected"),
        (HIGH, LOW_ERROR, "barrier"),
        (LOW, HIGH_ERROR, "barrier"),
        (HIGH, OPEN_ERROR, "barrier"),
        (OPEN, HIGH_ERROR, "barrier"),
        (HIGH, None, "barrier"),
        (OPEN, LOW_ERROR, "inconclusive"),
        (LOW, OPEN_ERROR, "inconclusive"),
        (OPEN, OPEN_ERROR, "inconclusive"),
    ],
)
def test_the_rule(loss, error, word):
    found = Barriers(loss=of(*loss), error=of(*error) if error else None)
    told = path_verdict(found, TOLERANCE)
    assert told.verdict == word
    assert (told.more is not None) == (word == "inconclusive")
    assert told.sentence


def test_the_bounds_themselves_are_not_passed():
    """Below and above are strict."""
    assert (
        path_verdict(Barriers(loss=of(0, 0.05, 0.1), error=None), TOLERANCE).verdict
        == "inconclusive"
    )
    assert (
        path_verdict(Barriers(loss=of(0.1, 0.2, 0.3), error=None), TOLERANCE).verdict
        == "inconclusive"
    )


def test_what_hides_between_points_counts_and_no_samples_mend_it():
    hiding = Barriers(loss=of(0.0, 0.01, 0.02, 0.2), error=None)
    told = path_verdict(hiding, TOLERANCE)
    assert told.verdict == "inconclusive"
    assert told.more is None
    assert "more points" in told.sentence


def test_a_loss_that_is_not_finite_is_a_barrier():
    bad = Estimate(value=math.inf, kind="estimate", interval=(0, math.inf))
    loss = replace(of(*LOW), supremum=bad)
    told = path_verdict(Barriers(loss=loss, error=of(*LOW_ERROR)), TOLERANCE)
    assert told.verdict == "barrier"
    assert "not finite" in told.sentence


@pytest.mark.parametrize("height", [0.0, 0.03, 0.09, 0.12, 0.3])
def test_the_samples_that_would_decide_do_decide(height):
    """Where the means stay: half-widths shrink as one over the root of the samples."""

    def told(samples: float) -> Verdict:
        half = 5 / math.sqrt(samples)
        one = replace(estimate(height - half, height, height + half), samples=int(samples))
        return path_verdict(Barriers(loss=replace(of(*LOW), supremum=one), error=None), TOLERANCE)

    before = told(100)
    assert before.verdict == "inconclusive"
    assert before.more is not None
    word = "connected" if height < 0.1 else "barrier"
    assert told(100 + 1.01 * before.more).verdict == word
    assert told(100 + 0.95 * before.more).verdict == "inconclusive"


def test_the_definition_can_be_chosen():
    found = Barriers(loss=replace(of(*LOW), mean=estimate(*HIGH)), error=None)
    assert path_verdict(found, TOLERANCE).verdict == "connected"
    assert path_verdict(found, TOLERANCE, definition="mean").verdict == "barrier"


# --- pairs -------------------------------------------------------------------------------------


def verdict(word: str, more: int | None = None) -> Verdict:
    return Verdict(verdict=word, sentence=word, more=more)  # type: ignore[arg-type]


def test_a_pair_is_connected_by_its_first_path_that_is():
    found = pair_verdict(
        {"line": verdict("barrier"), "aligned": verdict("connected"), "curve": verdict("connected")}
    )
    assert (found.verdict, found.by) == ("connected", "aligned")


def test_a_pair_is_behind_a_barrier_if_every_path_is():
    found = pair_verdict({"line": verdict("barrier"), "curve": verdict("barrier")})
    assert (found.verdict, found.by) == ("barrier", None)
    assert found.sentence.startswith("on the paths tried")


def test_anything_open_leaves_a_pair_open():
    paths = {"line": verdict("barrier"), "aligned": verdict("inconclusive", 900)}
    found = pair_verdict({**paths, "curve": verdict("inconclusive", 40)})
    assert (found.verdict, found.more) == ("inconclusive", 40)
    assert pair_verdict({}).verdict == "inconclusive"
    assert pair_verdict({"line": verdict("refused")}).verdict == "refused"


# --- tolerances and refusals -------------------------------------------------------------------


def evaluated(start: float, end: float, error: tuple[float, float] | None) -> Evaluated:
    errors = None if error is None else np.outer([error[0], 0, error[1]], np.ones(4))
    return Evaluated(
        t=np.array([0, 0.5, 1]),
        losses=np.outer([start, 0, end], np.ones(4)),
        errors=errors,
        weights=np.ones(4),
        stale=None,
    )


def test_the_tolerances_are_those_of_the_best_constant():
    digits = Constant(loss=math.log(10), error=0.9)
    assert tolerance_of(digits) == Tolerance(loss=0.05 * math.log(10), error=0.02)
    assert tolerance_of(Constant(loss=4.0, error=None)) == Tolerance(loss=0.2, error=None)
    assert tolerance_of(digits, loss_share=0.1, error=0.01).error == 0.01


@pytest.mark.parametrize(
    ("ends", "refused"), [((0.02, 0.44), ""), ((0.02, 0.46), "second"), ((0.9, 0.9), "first")]
)
def test_an_end_with_half_the_error_of_a_constant_is_refused(ends, refused):
    """However its loss is: an overconfident network may lose more than a constant."""
    found = refusal(evaluated(9.0, 9.0, ends), Constant(loss=2.3, error=0.9))
    assert (found is None) == (refused == "")
    if found is not None:
        assert found.verdict == "refused"
        assert found.sentence.startswith(f"the {refused} network has not learned: its error")


def test_in_regression_the_loss_decides():
    constant = Constant(loss=2.0, error=None)
    assert refusal(evaluated(0.9, 0.1, None), constant) is None
    found = refusal(evaluated(0.9, 1.1, None), constant)
    assert found is not None
    assert "loss" in found.sentence
    assert refusal(evaluated(0.1, math.nan, None), constant) is not None


# --- error rates on the simulation of heavy-tailed losses --------------------------------------


def words(samples: int, height: float, tolerance: float, repeats: int) -> dict[str, float]:
    counts: dict[str, int] = dict.fromkeys(("connected", "barrier", "inconclusive"), 0)
    for seed in range(repeats):
        losses = draw(samples, height, np.random.default_rng(seed))
        found = Barriers(loss=barrier(T, losses, np.ones(samples), seed=seed), error=None)
        counts[path_verdict(found, Tolerance(loss=tolerance, error=None)).verdict] += 1
    return {word: count / repeats for word, count in counts.items()}


RATES = [
    (0.05, 0.049, "connected"),
    (0.05, 0.025, "connected"),
    (0.0, 0.01, "barrier"),
    (0.05, 0.051, "barrier"),
]


@pytest.mark.parametrize(
    ("height", "tolerance", "wrong"),
    [*RATES[1:3], *(pytest.param(*one, marks=pytest.mark.full) for one in (RATES[0], RATES[3]))],
)
def test_wrong_verdicts_are_rare_in_a_few_draws(height, tolerance, wrong):
    assert words(500, height, tolerance, 40)[wrong] <= 0.1


@pytest.mark.full
@pytest.mark.parametrize("samples", [500, 2000])
@pytest.mark.parametrize(("height", "tolerance", "wrong"), RATES)
def test_wrong_verdicts_are_rare(samples, height, tolerance, wrong):
    assert words(samples, height, tolerance, 1000)[wrong] <= 0.04


def test_clear_cases_are_told_with_enough_samples():
    assert words(4000, 0.3, 0.1, 10)["barrier"] == 1
    assert words(4000, 0.0, 0.1, 10)["connected"] == 1


def test_samples_of_one_class_decide_nothing():
    found = refusal(evaluated(0.0, 0.0, (0.0, 0.0)), Constant(loss=-0.0, error=0.0))
    assert found is not None
    assert found.verdict == "refused"
    assert "of one class" in found.sentence
    assert math.copysign(1.0, tolerance_of(Constant(loss=-0.0, error=0.0)).loss) == 1.0
