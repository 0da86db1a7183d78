"""Stiff flows by explicit steps, against closed forms and against an implicit method."""

import numpy as np
import pytest

from landscape.errors import NumericalError
from landscape.kernels import stabilised
from landscape.kernels.stabilised import Flow, integrated


def linear(rates):
    def curvature(_, v):
        return rates * v, float(v @ (rates * v)) / float(v @ v)

    return Flow(
        slope=lambda y: -rates * y,
        curvature=curvature,
        size=lambda gap: float(np.abs(gap).max()),
        largest=float(rates.max()),
    )


@pytest.mark.parametrize("tolerance", [1e-3, 1e-4])
def test_a_linear_flow_over_eight_decades_of_rates(tolerance):
    rates = np.geomspace(1e-4, 1e4, 40)
    times = np.geomspace(1e-4, 1e4, 17)
    start = np.cos(np.arange(40.0))
    found = list(integrated(linear(rates), start, times, tolerance=tolerance))
    expected = start * np.exp(-rates * times[:, None])
    assert np.abs(np.array(found) - expected).max() < tolerance ** (2 / 3)  # of second order


def test_the_cost_grows_as_the_square_root_of_the_stiffness():
    counts = []
    for stiff in (1e2, 1e4, 1e6):
        calls = []
        flow = linear(np.array([1.0, stiff]))
        slope = flow.slope
        counted = Flow(
            slope=lambda y, s=slope, c=calls: (c.append(1), s(y))[1],
            curvature=flow.curvature,
            size=flow.size,
            largest=flow.largest,
        )
        list(integrated(counted, np.ones(2), np.array([5.0]), tolerance=1e-4))
        counts.append(len(calls))
    assert counts[2] < 15 * counts[1] < 15 * 15 * counts[0]
    assert counts[2] < 2e4  # plain steps: at least half of 5e6


def test_what_does_not_end_is_told(monkeypatch):
    monkeypatch.setattr(stabilised, "MOST_STEPS", 3)
    with pytest.raises(NumericalError, match="did not reach"):
        list(integrated(linear(np.array([1.0, 1e3])), np.ones(2), np.array([9.0]), tolerance=1e-6))
