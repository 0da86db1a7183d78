from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm as gaussian

from landscape.linalg.density import SpectralMeasure, even_grid, spectral_measure
from landscape.linalg.operator import LinearOperator
from tests.oracles import F64, generator, symmetric

BULK = np.concatenate([[6.0, 4.0, 4.0, -2.0], np.linspace(-0.5, 1, 56)])
HEAVY = np.concatenate([[50.0, 20.0], np.exp(-np.arange(60) / 6), np.zeros(40)])
UNIFORM = np.linspace(-1, 1, 400)
FULL_SEEDS = 2000


class Diagonal(LinearOperator):
    """diag(λ): what the estimators see depends on the eigenvalues alone."""

    def __init__(self, values: np.ndarray, dtype: torch.dtype = F64) -> None:
        super().__init__((len(values), len(values)), dtype=dtype, device=torch.device("cpu"))
        self.values = torch.from_numpy(values).to(dtype)

    def _products(self, rows: torch.Tensor) -> torch.Tensor:
        return rows * self.values


def measured(values: np.ndarray, seed: int = 0, probes: int = 6, steps: int = 12):
    return spectral_measure(Diagonal(values), probes=probes, steps=steps, generator=generator(seed))


def fraction_below(values: np.ndarray, grid: np.ndarray) -> np.ndarray:
    return np.searchsorted(np.sort(values), grid, side="right") / len(values)


def smoothed(values: np.ndarray, grid: np.ndarray, width: float) -> np.ndarray:
    return gaussian.pdf(grid[:, None], values[None, :], width).mean(axis=1)


def covers_everywhere(values: np.ndarray, **settings) -> bool:
    measure = measured(values, **settings)
    # on the grid that is shown, on every eigenvalue, and just before it
    grid = np.sort(np.concatenate([even_grid(measure)[0], values, values - 1e-9]))
    band, exact = measure.distribution(grid), fraction_below(values, grid)
    return bool(((band.lower <= exact + 1e-12) & (exact <= band.upper + 1e-12)).all())


# --- exact statements --------------------------------------------------------------------------


def test_moments_are_those_of_the_probes():
    measure = measured(BULK)
    for power in range(5):
        expected = [np.sum(q.weights * q.nodes**power) for q in measure.quadratures]
        np.testing.assert_allclose(measure.moment(power=power), expected)
    absolute = [np.sum(q.weights * np.abs(q.nodes)) for q in measure.quadratures]
    np.testing.assert_allclose(measure.moment(np.absolute), absolute)


@pytest.mark.parametrize("power", [1, 2, 3])
def test_mean_moments_are_near_the_trace_of_the_power(power):
    draws = measured(BULK, probes=200).moment(power=power)
    error = draws.std(ddof=1) / math.sqrt(len(draws))
    assert abs(draws.mean() - np.mean(BULK**power)) <= 4 * error


def test_eigenvectors_do_not_matter_to_the_law_only_to_the_draw():
    turned = symmetric(BULK, seed=3)
    plain = measured(BULK, probes=300, steps=4).moment(power=2)
    from landscape.linalg.operator import MatrixOperator

    other = spectral_measure(
        MatrixOperator(turned), probes=300, steps=4, generator=generator(8)
    ).moment(power=2)
    spread = math.hypot(plain.std(), other.std()) / math.sqrt(300)
    assert abs(plain.mean() - other.mean()) <= 4 * spread


def test_distribution_rises_from_zero_to_one_inside_its_band():
    measure = measured(BULK)
    band = measure.distribution(np.linspace(-4, 8, 500))
    assert band.value[0] == 0
    assert band.value[-1] == pytest.approx(1)
    for curve in (band.value, band.lower, band.upper):
        assert (np.diff(curve) >= -1e-12).all()
        assert curve.min() >= 0
        assert curve.max() <= 1 + 1e-12
    assert (band.lower <= band.value + 1e-12).all()
    assert (band.value <= band.upper + 1e-12).all()


def test_quadrature_bounds_hold_the_weights_of_the_probe_itself():
    """Chebyshev, Markov and Stieltjes: without the term for the probes the bounds still hold."""
    operator = Diagonal(BULK)
    starts = torch.randn(1, len(BULK), generator=generator(1), dtype=F64)
    starts /= starts.norm()
    from landscape.linalg.lanczos import gauss_quadratures

    measure = SpectralMeasure(gauss_quadratures(operator, starts, 6), 10**12)
    grid = np.linspace(-3, 7, 777)
    band = measure.distribution(grid)
    exact = np.array([float(starts[0][torch.from_numpy(t >= BULK)].square().sum()) for t in grid])
    assert (band.lower <= exact + 1e-5).all()
    assert (exact <= band.upper + 1e-5).all()


def test_band_narrows_with_probes_and_size():
    def width(size: int, probes: int) -> float:
        values = np.linspace(0, 1, size)
        band = measured(values, probes=probes, steps=min(size, 40)).distribution(np.array([0.5]))
        return float(band.upper[0] - band.lower[0])

    assert width(100, 16) < width(100, 4)
    assert width(400, 4) < width(100, 4)


def test_density_integrates_to_one_and_interval_holds_the_value():
    measure = measured(BULK)
    grid, width = even_grid(measure)
    fine = np.linspace(grid[0], grid[-1], 20_001)
    density = measure.density(fine, width)
    assert np.trapezoid(density.value, fine) == pytest.approx(1, abs=1e-4)
    assert (density.lower <= density.value).all()
    assert (density.value <= density.upper).all()
    assert (density.lower >= 0).all()
    assert np.isfinite(density.upper).all()


def test_density_is_exact_when_every_eigenvalue_is_seen_alike():
    measure = measured(np.full(50, 3.0))
    grid = np.linspace(2, 4, 101)
    density = measure.density(grid, 0.2)
    np.testing.assert_allclose(density.value, gaussian.pdf(grid, 3, 0.2), rtol=1e-9)


def test_grid_covers_the_spectrum_and_the_tails_of_the_kernel():
    measure = measured(HEAVY)
    grid, width = even_grid(measure)
    low, high = measure.range
    assert grid[0] == pytest.approx(low - 5 * width)
    assert grid[-1] == pytest.approx(high + 5 * width)
    assert high == pytest.approx(50, rel=1e-6)
    steps = np.diff(grid)
    assert steps.max() == pytest.approx(steps.min())


@pytest.mark.parametrize("values", [np.zeros(20), np.array([2.0]), np.full(30, -1e-9)])
def test_a_single_eigenvalue_has_a_grid_and_finite_curves(values):
    measure = measured(values, probes=2)
    grid, width = even_grid(measure)
    assert width > 0
    assert grid[0] < values[0] < grid[-1]
    density, band = measure.density(grid, width), measure.distribution(grid)
    for curve in (density.value, density.lower, density.upper, band.lower, band.upper):
        assert np.isfinite(curve).all()


# --- effective rank ----------------------------------------------------------------------------


def effective_rank(values: np.ndarray) -> float:
    return np.abs(values).sum() ** 2 / (values**2).sum()


def test_effective_rank_of_equal_eigenvalues_is_their_number():
    rank = measured(np.full(40, -2.0)).effective_rank()
    assert rank.value == pytest.approx(40)
    assert rank.interval == pytest.approx((40, 40))


def test_effective_rank_of_zero_is_zero():
    assert measured(np.zeros(20)).effective_rank().value == 0


def test_effective_rank_is_near_the_truth():
    rank = measured(BULK, probes=64, steps=40).effective_rank()
    exact = effective_rank(BULK)
    low, high = rank.interval
    assert low <= rank.value <= high
    assert abs(rank.value - exact) <= 2 * (high - low)


def test_effective_rank_does_not_depend_on_the_scale():
    plain, scaled = measured(BULK).effective_rank(), measured(1e9 * BULK).effective_rank()
    assert scaled.value == pytest.approx(plain.value, rel=1e-9)


# --- quantile of |λ| ---------------------------------------------------------------------------


def quantile(values: np.ndarray, fraction: float) -> float:
    """inf {t : F(t) ≥ fraction}."""
    ordered = np.sort(np.abs(values))
    return float(ordered[math.ceil(fraction * len(ordered) - 1e-12) - 1])


@pytest.mark.parametrize("fraction", [0.25, 0.5, 0.9])
@pytest.mark.parametrize(
    "values", [BULK, HEAVY, UNIFORM, -np.abs(BULK)], ids=["bulk", "heavy", "uniform", "negative"]
)
@pytest.mark.parametrize("steps", [2, 3, 8, 40])
def test_interval_of_a_quantile_of_magnitude_holds_it(values, fraction, steps):
    """Whatever the steps: what they leave open belongs in the interval."""
    measure = measured(values, probes=8, steps=steps, seed=5)
    low, high = measure.quantile_of_magnitude(fraction)
    exact = quantile(values, fraction)
    assert low <= exact * (1 + 1e-9) + 1e-9
    assert exact <= high * (1 + 1e-9) + 1e-9


# --- statistics --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("values", [BULK, HEAVY, UNIFORM], ids=["bulk", "heavy", "uniform"])
def test_band_and_interval_hold_the_truth_at_a_few_seeds(values, seed):
    """A wide level: at 99.9 % a failure of five seeds means a wrong law."""
    measure = measured(values, seed=seed, steps=20)
    grid, _ = even_grid(measure)
    band = measure.distribution(grid, level=0.999)
    exact = fraction_below(values, grid)
    assert (band.lower <= exact + 1e-9).all()
    assert (exact <= band.upper + 1e-9).all()


@pytest.mark.full
@pytest.mark.parametrize(("probes", "steps"), [(1, 12), (4, 12), (16, 4), (4, 60)])
@pytest.mark.parametrize("values", [BULK, HEAVY], ids=["bulk", "heavy"])
def test_band_covers_everywhere_at_once(values, probes, steps):
    covered = [
        covers_everywhere(values, seed=seed, probes=probes, steps=steps)
        for seed in range(FULL_SEEDS)
    ]
    assert np.mean(covered) >= 0.93


@pytest.mark.full
@pytest.mark.parametrize("values", [BULK, HEAVY], ids=["bulk", "heavy"])
def test_density_interval_covers_at_each_point(values):
    """With every node found the only doubt is the probes'; points are looked at one by one."""
    width = 0.2
    grid = np.array([-2.0, -0.4, 0.0, 0.3, 1.0, 3.9])
    grid = grid[smoothed(values, grid, width) > 1e-3]
    exact = smoothed(values, grid, width)
    covered = np.zeros(len(grid))
    for seed in range(FULL_SEEDS):
        density = measured(values, seed=seed, steps=len(values)).density(grid, width)
        covered += (density.lower <= exact) & (exact <= density.upper)
    assert (covered / FULL_SEEDS >= 0.93).all(), covered / FULL_SEEDS


@pytest.mark.full
@pytest.mark.parametrize("probes", [6, 16])
@pytest.mark.parametrize("values", [BULK, HEAVY], ids=["bulk", "heavy"])
def test_effective_rank_interval_covers(values, probes):
    exact = effective_rank(values)
    covered = []
    for seed in range(FULL_SEEDS):
        low, high = measured(values, seed=seed, probes=probes, steps=30).effective_rank().interval
        covered.append(low <= exact <= high)
    assert np.mean(covered) >= 0.93


@pytest.mark.full
@pytest.mark.parametrize("steps", [4, 30])
def test_interval_of_the_median_magnitude_covers(steps):
    exact = quantile(UNIFORM, 0.5)
    covered = []
    for seed in range(500):
        low, high = measured(UNIFORM, seed=seed, probes=8, steps=steps).quantile_of_magnitude(0.5)
        covered.append(low <= exact <= high)
    assert np.mean(covered) >= 0.93
