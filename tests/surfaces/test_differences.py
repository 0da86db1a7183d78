from __future__ import annotations

import math

import numpy as np
import pytest

from landscape.surfaces.differences import rounding_noise, second_difference, slope_difference

EPS = np.finfo(float).eps


@pytest.mark.parametrize(
    ("f", "exact"),
    [
        (lambda t: 3 * t * t - t + 1, 6.0),
        (math.exp, 1.0),
        (lambda t: math.cos(20 * t), -400.0),
        (lambda t: math.log1p(math.exp(7 * t)), 49 / 4),
        (lambda t: 1e6 + t**2, 2.0),
        (lambda t: 5.0 + 0 * t, 0.0),
    ],
)
def test_the_error_covers(f, exact):
    """Functions whose second derivative is known: the error estimate holds and is small."""
    noise = rounding_noise(f, spacing=1e-8, unit=EPS)
    found = second_difference(f, largest=0.3, noise=noise)
    assert abs(found.value - exact) <= found.error
    assert found.error <= 1e-3 * max(abs(exact), 1.0)


def test_a_kink_is_not_resolved():
    """|t| has no second derivative at 0, and no step agrees with the next."""
    found = second_difference(lambda t: abs(t) + t * t, largest=0.3, noise=1e-17)
    assert found.error > 0.05 * abs(found.value)


def test_kinks_nearby_are_left_aside():
    """A piecewise parabola: only steps below the first kink see the curvature at 0."""

    def f(t: float) -> float:
        return t * t + sum(max(0.0, abs(t) - 1e-3 * k) for k in range(1, 40))

    found = second_difference(f, largest=0.3, noise=1e-17)
    assert abs(found.value - 2) <= found.error
    assert found.step < 5e-3


def test_many_kinks_are_no_curvature():
    """Seen from afar a fine polygon is a parabola; at 0 it is straight."""

    def f(t: float) -> float:
        whole, part = divmod(abs(t) + 5e-4, 1e-3)  # corners at odd multiples of 0.0005
        return 1 + 1e-6 * whole**2 + 2e-6 * whole * part / 1e-3 + 1e-6 * (part / 1e-3) - 5e-7

    seen = (f(0.1) - 2 * f(0.0) + f(-0.1)) / 0.01
    assert seen == pytest.approx(2, rel=0.02)
    found = second_difference(f, largest=0.3, noise=1e-16)
    assert abs(found.value) <= max(found.error, 1e-9) or found.error > 0.05 * abs(found.value)


def test_slopes_see_between_kinks():
    """t² with a kink at every millionth: no step of the loss fits between, those of slopes do."""

    def slope(t: float) -> float:
        return 2 * t + 1e-6 * math.floor(abs(t) * 1e6 + 0.5) * math.copysign(5, t)

    seen = (slope(0.1) - slope(-0.1)) / 0.2
    assert seen == pytest.approx(7, rel=1e-3), "from afar"
    found = slope_difference(slope, largest=1e-3, noise=1e-17)
    assert abs(found.value - 2) <= found.error
    assert found.error < 1e-3
    assert found.step < 1e-5


@pytest.mark.parametrize(
    ("slope", "exact"),
    [(math.exp, 1.0), (lambda t: math.sin(20 * t), 20.0), (lambda t: 1e6 + 2 * t, 2.0)],
)
def test_the_error_of_slopes_covers(slope, exact):
    noise = rounding_noise(slope, spacing=1e-12, unit=EPS)
    found = slope_difference(slope, largest=1e-2, noise=noise)
    assert abs(found.value - exact) <= found.error
    assert found.error <= 1e-3 * exact


def test_the_noise_of_a_rounded_function():
    draws = np.random.default_rng(0).normal(scale=1e-6, size=1000)
    known: dict[float, float] = {}

    def f(t: float) -> float:
        return 1 + t + known.setdefault(t, float(draws[len(known)]))

    measured = []
    for k in range(100):
        spacing = 1e-9 * (k + 1)
        measured.append(rounding_noise(f, spacing=spacing, unit=EPS))
    assert np.sqrt(np.mean(np.square(measured))) == pytest.approx(1e-6, rel=0.25)


def test_a_function_that_is_not_finite():
    found = second_difference(lambda t: t * math.nan, largest=0.3, noise=math.nan)
    assert math.isnan(found.value)
    assert found.error == math.inf
