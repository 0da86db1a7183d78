from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from landscape.paths.grid import COARSE, COUNT, hidden, refinement

Function = Callable[[np.ndarray], np.ndarray]


def refined(*functions: Function, count: int = COUNT) -> np.ndarray:
    t = np.array(COARSE)
    while (room := count - len(t)) > 0:
        added = refinement(t, np.stack([f(t) for f in functions]), room=room)
        if not len(added):
            break
        t = np.sort(np.concatenate([t, added]))
    return t


def bump(centre: float, width: float) -> Function:
    return lambda t: np.exp(-(((t - centre) / width) ** 2) / 2)


def test_the_coarse_grid_holds_the_ends_and_the_middle_exactly():
    assert {0.0, 0.5, 1.0} <= set(COARSE)
    np.testing.assert_allclose(np.diff(COARSE), 0.1)


@pytest.mark.parametrize("width", [0.05, 0.1, 0.2])
def test_refining_finds_bumps_that_the_coarse_grid_misses(width):
    """An even grid of 25 misses 8 % of a bump of sd 0.05 at worst, one of 11 misses 39 %."""
    missed, even = [], []
    for centre in np.linspace(0.1, 0.9, 161):
        f = bump(float(centre), width)
        t = refined(f)
        assert len(t) == len(set(t)) == COUNT
        assert set(COARSE) <= set(t)
        missed.append(1 - f(t).max())
        even.append(1 - f(np.linspace(0, 1, COUNT)).max())
    assert max(missed) < 0.01
    assert max(missed) <= max(even)


def test_two_quantities_are_refined_each_about_its_own_maximum():
    t = refined(bump(0.23, 0.05), bump(0.77, 0.05))
    assert bump(0.23, 0.05)(t).max() > 0.98
    assert bump(0.77, 0.05)(t).max() > 0.98


def test_a_constant_and_infinite_values_do_no_harm():
    assert len(refined(lambda t: 0 * t)) == COUNT
    assert np.diff(refined(lambda t: 0 * t)).max() < 0.1
    t = np.array(COARSE)
    values = np.where(t == 0.3, np.inf, t)
    added = refinement(t, values, room=4)
    assert {0.25, 0.35} <= set(np.round(added, 12))
    assert refinement(t, np.where(t == 0.3, np.nan, t), room=4).size
    assert hidden(t, values) == 0


def test_no_room_or_the_finest_gap_ends_it():
    assert len(refinement(np.array(COARSE), np.array(COARSE), room=0)) == 0
    assert len(refinement(np.array([0, 0.001, 0.002]), np.array([0, 1, 0]), room=9)) == 0


# --- what may hide -----------------------------------------------------------------------------


@pytest.mark.parametrize("peak", [0.437, 0.45, 0.5, 0.98])
def test_a_parabola_hides_at_most_what_is_told_and_that_is_its_scale(peak):
    t = np.linspace(0, 1, 11)
    values = -((t - peak) ** 2)
    told, rise = hidden(t, values), -values.max()
    assert rise <= told <= 2 * 0.1**2 / 4
    assert told == pytest.approx(100 * hidden(t, values / 100))


def test_a_straight_line_hides_nothing():
    t = np.array([0, 0.2, 0.5, 0.6, 1.0])
    assert hidden(t, 3 * t - 1) == pytest.approx(0, abs=1e-12)
    assert hidden(np.array([0.0, 1.0]), np.array([0.0, 9.0])) == 0


@pytest.mark.parametrize("width", [0.1, 0.15, 0.2, 0.3])
def test_what_hides_is_hardly_ever_more_than_told(width):
    """On the coarse grid, where some of a bump shows; never after refining."""
    short, coarse = 0, np.array(COARSE)
    centres = np.linspace(0.1, 0.9, 161)
    for centre in centres:
        f = bump(float(centre), width)
        t = refined(f)
        assert f(t).max() + hidden(t, f(t)) >= 1 - 2e-4
        short += f(coarse).max() + hidden(coarse, f(coarse)) < 0.99
    assert short <= 0.05 * len(centres)
