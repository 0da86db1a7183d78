"""Verdicts on made-up runs: closed forms, rates of error, seeds that are missing."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from landscape.signals.intervals import share
from landscape.tickets.data import Judged
from landscape.tickets.verdict import Runs, compared, judged, mean_of, seeds_needed

SETTINGS: dict[str, Any] = {"level": 0.95, "margin": 0.01, "unit": "points"}


def one_run(rate, samples, source):
    wrong = (source.random(samples) > rate).astype(float)
    return Judged(losses=wrong, errors=wrong, counts=np.ones(samples))


def runs(rate, *, seeds=5, samples=2000, spread=0.0, source=None, accuracy=True):
    source = source or np.random.default_rng(0)
    rates = np.clip(rate + spread * source.standard_normal(seeds), 0, 1)
    return Runs.of([one_run(r, samples, source) for r in rates], accuracy=accuracy)


def exactly(values, samples=10_000):
    """Runs whose values are given, without doubt of the samples."""
    values = np.asarray(values, dtype=float)
    return Runs(values=values, samples=np.repeat(values[:, None], samples, 1), shares=False)


def test_differences_are_paired_by_seed():
    ticket, control = [0.90, 0.95, 0.85], [0.88, 0.92, 0.84]
    found = compared(exactly(ticket), exactly(control), "c", shared=1, **SETTINGS)
    interval = stats.ttest_rel(ticket, control).confidence_interval(0.95)
    assert found.difference.value == pytest.approx(0.02)
    assert found.difference.interval == pytest.approx((interval.low, interval.high))
    assert found.difference.solver == pytest.approx(found.difference.interval)


def test_samples_that_are_missing_are_doubted_too():
    """The sampling part is Student's t over the samples, of the mean over seeds."""
    source = np.random.default_rng(3)
    ticket, control = runs(0.9, source=source), runs(0.8, source=source)
    found = compared(ticket, control, "c", shared=1, **SETTINGS).difference
    each = (ticket.samples - control.samples).mean(0)
    added = np.append(each, (1.0, -1.0))  # one sample in favour of each side
    half = stats.t.ppf(0.975, len(each) - 1) * stats.sem(added)
    assert found.solver
    assert found.sampling
    assert found.sampling == pytest.approx((found.value - half, found.value + half))
    half = found.interval[1] - found.value
    seeds, held = found.solver[1] - found.value, found.sampling[1] - found.value
    assert half == pytest.approx(math.hypot(seeds, held))


def test_samples_on_which_all_agree_prove_nothing_about_others():
    agree = Judged(losses=np.zeros(2), errors=np.zeros(2), counts=np.ones(2))
    twice = Runs.of([agree, agree], accuracy=True)
    found = judged(twice, {"a": twice}, **SETTINGS)
    assert found.verdict == "not resolved"
    many = Judged(losses=np.zeros(500), errors=np.zeros(500), counts=np.ones(500))
    twice = Runs.of([many, many], accuracy=True)
    assert judged(twice, {"a": twice}, **SETTINGS).verdict == "not better"


def test_samples_count_by_what_counts_in_them():
    """Tokens: a sample of many weighs more; the mean over samples is the accuracy."""
    counts = np.array([1.0, 3.0, 6.0])
    errors = np.array([1.0, 0.0, 3.0])
    found = Runs.of([Judged(losses=errors, errors=errors, counts=counts)], accuracy=True)
    assert found.values[0] == pytest.approx(0.6)
    assert found.samples.mean() == pytest.approx(0.6)
    assert not found.shares


def test_a_ticket_wins_when_it_beats_every_control():
    controls = {"a": exactly([0.8, 0.81, 0.79]), "b": exactly([0.7, 0.72, 0.71])}
    found = judged(exactly([0.9, 0.91, 0.9]), controls, **SETTINGS)
    assert found.verdict == "winning"
    assert found.reason == "better than a, b"
    controls["c"] = exactly([0.899, 0.911, 0.901])
    found = judged(exactly([0.9, 0.91, 0.9]), controls, **SETTINGS)
    assert found.verdict == "not better"
    assert [one.verdict for one in found.comparisons] == ["better", "better", "not better"]


def test_what_is_not_resolved_says_how_many_seeds_are_missing():
    ticket, control = [0.90, 0.95, 0.86], [0.88, 0.88, 0.87]
    found = judged(exactly(ticket), {"a": exactly(control)}, **SETTINGS)
    assert found.verdict == "not resolved"
    pairs = np.subtract(ticket, control)
    number = next(
        n
        for n in range(2, 200)
        if stats.t.ppf(0.975, n - 1) * pairs.std(ddof=1) / math.sqrt(n) < pairs.mean()
    )
    assert found.more_seeds == number - 3
    assert found.reason == f"not told from a: about {number - 3} more seeds needed"


def test_where_samples_are_missing_no_number_of_seeds_is_told():
    wrong = np.zeros(40)
    wrong[:2] = 1  # the same two samples at every seed
    none = np.zeros(40)
    perfect, worse = (
        Runs.of([Judged(losses=e, errors=e, counts=np.ones(40))] * 4, accuracy=True)
        for e in (none, wrong)
    )
    found = judged(perfect, {"a": worse}, **SETTINGS)
    assert found.verdict == "not resolved"
    assert found.more_seeds is None
    assert "samples are needed" in found.reason


def test_the_samples_that_all_comparisons_need_are_told():
    """Not those that the first needs."""

    def with_wrong(count):
        wrong = np.zeros(40)
        wrong[:count] = 1
        run = Judged(losses=wrong, errors=wrong, counts=np.ones(40))
        return Runs.of([run] * 4, accuracy=True)

    controls = {"a": with_wrong(3), "b": with_wrong(1), "c": with_wrong(2)}
    found = judged(with_wrong(0), controls, **SETTINGS)
    needed = {one.control: one.samples_needed or 0 for one in found.comparisons}
    assert max(needed, key=needed.__getitem__) == "b"
    assert min(needed.values()) > 40
    told = f"about {needed['b']:,} samples are needed to judge, whatever the seeds"
    assert found.reason == f"not told from a, b, c: {told}"


def test_seeds_needed_is_where_the_interval_first_fits():
    assert seeds_needed(0.0, 1.0, 0.0, 0.95) is None
    assert seeds_needed(0.5, 1.0, 0.6, 0.95) is None
    found = seeds_needed(0.5, 1.0, 0.3, 0.95)
    assert found is not None

    def half(number):
        return math.hypot(stats.t.ppf(0.975, number - 1) / math.sqrt(number), 0.3)

    assert half(found) < 0.5 <= half(found - 1)


def test_values_that_are_not_finite_never_win():
    found = judged(exactly([0.9, 0.9, 0.9]), {"a": exactly([math.nan, 0.1, 0.1])}, **SETTINGS)
    assert found.verdict == "not resolved"
    assert mean_of(exactly([math.nan, 0.1]), level=0.95, sign=1, method="m").reason


def test_one_seed_settles_nothing():
    found = judged(exactly([0.9]), {"a": exactly([0.1])}, **SETTINGS)
    assert found.verdict == "not resolved"


def test_the_mean_of_perfect_runs_is_still_doubted():
    """Clopper and Pearson: no error in 100 samples leaves room for some."""
    found = mean_of(runs(1.0, samples=100), level=0.95, sign=1, method="m")
    assert found.value == 1.0
    assert found.interval == pytest.approx(share(100, 100, "").interval)


def test_the_loss_is_told_as_it_is():
    losses = np.array([0.5, 1.5, 1.0, 1.0])
    run = Judged(losses=losses, errors=None, counts=np.ones(4))
    other = Judged(losses=losses + 0.2, errors=None, counts=np.ones(4))
    found = mean_of(Runs.of([run, other], accuracy=False), level=0.95, sign=-1, method="m")
    assert found.value == pytest.approx(1.1)
    assert found.solver
    assert found.interval[0] < found.solver[0] < 1.1 < found.solver[1] < found.interval[1]


@pytest.mark.full
def test_verdicts_are_wrong_no_more_often_than_stated():
    """Other seeds and other samples each time: a ticket that equals a control hardly ever wins."""
    source, won, lost, covered, trials = np.random.default_rng(7), 0, 0, 0, 2000
    for _ in range(trials):
        arms = [runs(0.85, samples=300, spread=0.02, source=source) for _ in range(3)]
        found = judged(arms[0], {"a": arms[1], "b": arms[2]}, **SETTINGS)
        won += found.verdict == "winning"
        low, high = found.comparisons[0].difference.interval
        covered += low <= 0 <= high
        better = runs(0.88, samples=300, spread=0.02, source=source)
        found = judged(better, {"a": arms[1], "b": arms[2]}, **SETTINGS)
        lost += found.verdict == "not better"
    assert won / trials <= 0.025 + 0.01
    assert lost / trials <= 0.05
    assert covered / trials >= 0.93
