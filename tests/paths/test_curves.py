from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from landscape.errors import SettingError
from landscape.paths.curves import Bezier, Curve, Line, PolygonalChain, evenly
from tests.oracles import F64, generator


def points(number: int, size: int = 7, dtype: torch.dtype = F64) -> list[torch.Tensor]:
    return [torch.randn(size, generator=generator(i), dtype=dtype) for i in range(number)]


def curves(dtype: torch.dtype = F64) -> list[Curve]:
    made: list[Curve] = [Line(*points(2, dtype=dtype))]
    for number in (2, 3, 4, 6):
        made += [Bezier(points(number, dtype=dtype)), PolygonalChain(points(number, dtype=dtype))]
    return made


@pytest.mark.parametrize("curve", curves(torch.float32), ids=lambda c: type(c).__name__)
def test_the_ends_are_the_given_tensors_themselves(curve):
    assert curve.at(0) is curve.points[0]
    assert curve.at(0.0) is curve.points[0]
    assert curve.at(1.0) is curve.points[-1]


@pytest.mark.parametrize("t", [0.0, 1e-9, 0.2, 0.5, 2 / 3, 0.99, 1.0])
@pytest.mark.parametrize("curve", curves(), ids=lambda c: type(c).__name__)
def test_a_curve_is_the_combination_that_its_coefficients_say(curve, t):
    c = curve.coefficients(t)
    assert c.sum() == pytest.approx(1)
    assert (c >= 0).all()
    expected = sum(float(ci) * point for ci, point in zip(c, curve.points, strict=True))
    torch.testing.assert_close(curve.at(t), expected, rtol=1e-12, atol=1e-12)


def test_three_points_give_the_quadratic_of_the_source():
    a, b, c = points(3)
    t = 0.3
    expected = (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c
    torch.testing.assert_close(Bezier([a, b, c]).at(t), expected)


def test_a_chain_passes_through_its_points():
    chain = PolygonalChain(points(5))
    for i, point in enumerate(chain.points):
        torch.testing.assert_close(chain.at(i / 4), point, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("kind", [Bezier, PolygonalChain])
def test_between_equal_points_a_curve_stays_bit_for_bit(kind, dtype):
    (point,) = points(1, 1000, dtype)
    for t in np.linspace(0, 1, 21):
        assert torch.equal(kind([point] * 4).at(float(t)), point)
        assert torch.equal(Line(point, point).at(float(t)), point)


def test_bends_are_differentiable_and_ends_are_left_alone():
    a, b, c = points(3)
    b.requires_grad_()
    Bezier([a, b, c]).at(0.25).sum().backward()
    torch.testing.assert_close(b.grad, torch.full_like(b, 2 * 0.25 * 0.75))


# --- lengths -----------------------------------------------------------------------------------


def dense_length(curve: Curve, until: float) -> float:
    places = torch.stack([curve.at(float(t)) for t in np.linspace(0, until, 20001)])
    return float((places[1:] - places[:-1]).norm(dim=1).sum())


@pytest.mark.parametrize(
    "until",
    [pytest.param(0.13, marks=pytest.mark.full), 0.5, pytest.param(1.0, marks=pytest.mark.full)],
)
@pytest.mark.parametrize("curve", curves(), ids=lambda c: type(c).__name__)
def test_a_length_is_that_of_many_small_steps(curve, until):
    steps = dense_length(curve, until)  # they cut the corners of a chain
    assert curve.length(until) == pytest.approx(steps, rel=1e-4)


def test_the_length_of_a_parabola_has_its_closed_form():
    """(t, t²)·√… : from (0, 0) by (½, 0) to (1, 1) the curve is y = x²."""
    corners = [torch.tensor(p, dtype=F64) for p in ([0.0, 0.0], [0.5, 0.0], [1.0, 1.0])]
    assert Bezier(corners).length() == pytest.approx(math.sqrt(5) / 2 + math.asinh(2) / 4, rel=1e-9)


def test_a_line_is_as_long_as_its_ends_are_apart():
    a, b = points(2)
    assert Line(a, b).length() == pytest.approx(float((b - a).norm()))
    assert Line(a, b).stretch == pytest.approx(1)
    assert Bezier(evenly(a, b, bends=3)).stretch == pytest.approx(1)
    assert Line(a, a).stretch == math.inf


def test_bends_begin_evenly_on_the_line():
    a, b = points(2)
    for kind in (Bezier, PolygonalChain):
        curve = kind(evenly(a, b, bends=3))
        torch.testing.assert_close(curve.at(0.4), Line(a, b).at(0.4))
        assert len(curve.bends) == 3


# --- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize("t", [-0.01, 1.01, math.nan])
def test_outside_of_the_path_there_is_nothing(t):
    with pytest.raises(SettingError, match=r"\[0, 1\]"):
        Line(*points(2)).at(t)


@pytest.mark.parametrize("bad", [[], [torch.zeros(3)], [torch.zeros(3), torch.zeros(4)]])
def test_points_that_make_no_curve_are_refused(bad):
    with pytest.raises(SettingError, match="two points"):
        Bezier(bad)
