from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm
from scipy.stats import t as student

from landscape.paths.band import simultaneous_band
from tests.oracles import generator

T = np.linspace(0, 1, 25)
HEIGHTS = (0.0, 0.05)


def draw(samples: int, height: float, rng: np.random.Generator) -> np.ndarray:  # (25, N)
    """Losses of samples on a path whose mean has the barrier `height`, heavy-tailed.

    A sample has lognormal losses at the ends, alike but not the same; between them the line, a
    share of the barrier that is exponential (few samples carry much of it), and a bridge of noise
    with Student tails (4 degrees of freedom).
    """
    common = rng.lognormal(-1, 1.2, samples)
    ends = common * rng.lognormal(0, 0.2, (2, samples))
    share = rng.exponential(1.0, samples)
    waves = rng.standard_t(4, (3, samples)) * np.array([[0.3], [0.15], [0.1]])
    bridge = sum(np.outer(np.sin((k + 1) * np.pi * T), waves[k]) for k in range(3))
    line = np.outer(1 - T, ends[0]) + np.outer(T, ends[1])
    return line + height * np.outer(4 * T * (1 - T), share) + bridge


def paired(losses: np.ndarray) -> np.ndarray:
    return losses - np.outer(1 - T, losses[0]) - np.outer(T, losses[-1])


def band(contrasts: np.ndarray, weights: np.ndarray | None = None, seed: int = 0, **settings):
    weights = np.ones(contrasts.shape[1]) if weights is None else weights
    return simultaneous_band(contrasts, weights, generator=generator(seed), **settings)


def interval(losses: np.ndarray, seed: int) -> tuple[float, float]:
    found = band(paired(losses), seed=seed, fixed=(0, -1))
    return found.highest(method="").interval


# --- what it is --------------------------------------------------------------------------------


def test_a_single_contrast_has_the_textbook_interval():
    values = np.random.default_rng(0).normal(3, 2, 400)
    found = band(values[None])
    half = student.ppf(0.975, 399) * values.std(ddof=1) / 20
    assert found.mean[0] == pytest.approx(values.mean())
    assert found.upper[0] - found.mean[0] == pytest.approx(half, rel=1e-9)
    assert found.mean[0] - found.lower[0] == pytest.approx(half, rel=1e-9)


@pytest.mark.parametrize("points", [2, 10, 40])
def test_the_quantile_of_independent_contrasts_is_sidaks(points):
    values = np.random.default_rng(1).normal(size=(points, 20_000))
    found = band(values)
    error = values.std(1, ddof=1) / math.sqrt(20_000)
    q = (found.upper - found.mean) / error
    assert np.ptp(q) < 1e-9
    assert q[0] == pytest.approx(norm.ppf((1 + 0.95 ** (1 / points)) / 2), rel=0.02)


def test_equal_contrasts_cost_nothing_for_being_many():
    values = np.random.default_rng(2).normal(size=500)
    one, many = band(values[None]), band(np.tile(values, (30, 1)))
    assert many.upper[7] == pytest.approx(one.upper[0], rel=0.02)  # 20,000 draws


def test_weights_make_the_variance_that_of_a_ratio():
    """Against the jackknife over samples."""
    rng = np.random.default_rng(3)
    values, weights = rng.normal(1, 1, 300), rng.integers(0, 9, 300).astype(float)
    found = band(values[None], weights)
    kept = weights > 0
    v, w = values[kept], weights[kept]
    n = len(v)
    left_out = np.array([(w @ v - w[i] * v[i]) / (w.sum() - w[i]) for i in range(n)])
    error = math.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum())
    assert found.mean[0] == pytest.approx(np.average(v, weights=w))
    assert found.samples == n
    assert found.upper[0] - found.mean[0] == pytest.approx(1.96 * error, rel=0.04)


def test_no_difference_leaves_no_doubt_and_one_sample_leaves_all():
    found = band(np.zeros((25, 50))).highest(method="")
    assert found.interval == (0, 0)
    alone = band(np.array([[0.0], [1.0]]), fixed=(0,)).highest(method="")
    assert alone.interval == (0, math.inf)


@pytest.mark.parametrize("samples", [3, 5, 10])
def test_few_samples_are_covered_too(samples):
    """Normal quantiles would miss 21 % of the means of three samples."""
    rng, missed, seeds = np.random.default_rng(samples), 0, 200
    for seed in range(seeds):
        found = band(rng.normal(size=(11, samples)), seed=seed)
        missed += not (np.all(found.lower <= 0) and np.all(found.upper >= 0))
    assert missed / seeds <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / seeds)


def test_a_share_is_never_above_one():
    values = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 1.0]])
    assert band(values).highest(ceiling=1.0, method="").interval[1] == 1.0


def test_what_is_not_finite_is_told():
    values = np.random.default_rng(0).normal(size=(3, 20))
    values[1, 4] = np.inf
    found = band(values).highest(method="")
    assert found.value == math.inf
    assert found.reason is not None


def test_pairing_cuts_the_error_by_what_the_study_found():
    """SE of the barrier at the middle: 2.4 to 3.8 times smaller than unpaired."""
    losses = draw(4000, 0.05, np.random.default_rng(0))
    middle = paired(losses)[12].std()
    unpaired = math.sqrt(losses[12].var() + (losses[0].var() + losses[-1].var()) / 4)
    assert unpaired / middle > 2.4


# --- counts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seen", "exact"), [(0, 3.689), (1, 5.572), (2, 7.225), (10, 18.39)])
def test_the_upper_end_of_a_count_is_near_the_exact_one_of_poisson(seen, exact):
    values = np.zeros((1, 1000))
    values[0, :seen] = 1
    found = band(values, unit=1.0)
    assert 1000 * found.upper[0] == pytest.approx(exact, rel=0.06)


@pytest.mark.parametrize("rate", [0.0005, 0.002, 0.01])
def test_rare_errors_are_covered_from_above(rate):
    rng, missed = np.random.default_rng(4), 0
    for seed in range(200):
        wrong = (rng.random(1000) < rate).astype(float)[None]
        missed += band(wrong, unit=1.0, seed=seed).upper[0] < rate
    assert missed / 200 <= 0.06


def test_tokens_of_a_sequence_are_counted_together_where_they_differ_together():
    """100 sequences of 50 tokens: what may be missing is the most that one added, at least 1."""
    weights, none = np.full(100, 50.0), np.zeros((1, 100))
    assert 5000 * band(none, weights, unit=1.0).upper[0] == pytest.approx(
        3.937, abs=0.01
    )  # t of 99
    whole = none.copy()
    whole[0, 3] = 1.0
    assert 5000 * band(whole, weights, unit=1.0).upper[0] == pytest.approx(50 * 5.66, rel=0.03)


# --- coverage: the simulation of heavy-tailed losses -------------------------------------------


def coverage(samples: int, height: float, repeats: int) -> tuple[float, float]:
    """How often the truth lies above and below the interval."""
    above = below = 0
    for seed in range(repeats):
        losses = draw(samples, height, np.random.default_rng(seed))
        low, high = interval(losses, seed)
        above += high < height
        below += low > height
    return above / repeats, below / repeats


@pytest.mark.parametrize("height", HEIGHTS)
def test_the_interval_covers_in_a_few_draws(height):
    assert sum(coverage(500, height, 60)) <= 0.1


@pytest.mark.full
@pytest.mark.parametrize("height", HEIGHTS)
@pytest.mark.parametrize("samples", [100, 500, 2000])
def test_the_interval_covers_the_barrier(samples, height):
    assert sum(coverage(samples, height, 2000)) <= 0.07


@pytest.mark.full
@pytest.mark.parametrize("height", HEIGHTS)
def test_the_interval_covers_the_barrier_with_many_samples(height):
    assert sum(coverage(10_000, height, 400)) <= 0.07
