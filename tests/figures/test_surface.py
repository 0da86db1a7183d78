"""Figures of lines and planes through weight space: they draw whatever comes, as measured."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.text import Text

from landscape.errors import SettingError
from landscape.figures.canvas import overlay, save, svg
from landscape.figures.live import cells_of, relief_of
from landscape.figures.picture import Picture
from landscape.figures.relief import View, finer
from landscape.figures.relief_axes import VIEW, lifted, mesh
from landscape.figures.surface import (
    Mark,
    SliceCurve,
    SliceInk,
    SurfaceInk,
    draw_contours,
    draw_relief,
    draw_slices,
)
from landscape.figures.surface_scale import Scale
from tests.selection import some

HOSTILE = "_run$0$\x1b<b>" + "x" * 60
T = np.linspace(-1, 1, 21)
GENERATOR = np.random.default_rng(0)


def curve(name: str = "mean of 5", height: float = 1.0) -> SliceCurve:
    mean = 0.1 + height * T**2
    return SliceCurve(
        name=name,
        mean=mean,
        lower=0.9 * mean,
        upper=1.1 * mean,
        reliable=np.abs(T) < 0.9,
        draws=mean * GENERATOR.uniform(0.9, 1.1, (5, 1)),
    )


def line(*curves: SliceCurve, **parts: object) -> SliceInk:
    given = {"quantity": "loss", "marks": (Mark(name=HOSTILE, x=0.0),), **parts}
    return SliceInk(distances=T, curves=curves, **given)  # type: ignore[arg-type]


def surface(**parts: object) -> SurfaceInk:
    x, y = np.linspace(-1, 1, 21), np.linspace(-0.5, 1, 16)
    values = 0.01 + x[None, :] ** 2 + 4 * y[:, None] ** 2
    given = {
        "x": x,
        "y": y,
        "values": values,
        "unreliable": np.zeros(values.shape, bool),
        "points": (Mark(name=HOSTILE, x=0.0, y=0.0), Mark(name="b.pt", x=0.5, y=0.5)),
        "trajectory": np.stack((T, 0.3 * T**2), axis=1),
        **parts,
    }
    return SurfaceInk(**given)  # type: ignore[arg-type]


def spoilt() -> SurfaceInk:
    """Return a plane with cells of each kind to distrust."""
    ink = surface(clipped_at=2.0)
    values, doubt = ink.values.copy(), np.zeros(ink.values.shape, bool)
    values[:3, :4], values[-1, 0] = np.nan, np.inf
    doubt[7, 2:5] = doubt[0, 0] = True
    return replace(ink, values=values, unreliable=doubt)


FLAT = surface(values=np.full((16, 21), 0.5))
PICTURES = {
    "slice": partial(draw_slices, ink=line(curve())),
    "slices": partial(draw_slices, ink=line(curve("a"), curve(HOSTILE, 3.0))),
    "many decades": partial(draw_slices, ink=line(curve(height=1000.0))),
    "clipped slice": partial(draw_slices, ink=line(curve(), clipped_at=0.5)),
    "bare slice": partial(draw_slices, ink=line(SliceCurve(name="a", mean=T**2), marks=())),
    "parabola": partial(draw_slices, ink=line(curve(), parabola=(T[8:13], 0.1 + T[8:13] ** 2))),
    "error along": partial(draw_slices, ink=line(curve(), quantity="error")),
    "slice of nothing": partial(draw_slices, ink=line(SliceCurve(name="a", mean=T * np.nan))),
    "no slice": partial(draw_slices, ink=line()),
}
for kind, draw in (("contours", draw_contours), ("relief", draw_relief)):
    PICTURES |= {
        kind: partial(draw, ink=surface()),
        f"spoilt {kind}": partial(draw, ink=spoilt()),
        f"{kind} of an error": partial(draw, ink=surface(quantity="error")),
        f"flat {kind}": partial(draw, ink=FLAT),
        f"zero {kind}": partial(draw, ink=surface(values=np.zeros((16, 21)))),
        f"negative {kind}": partial(draw, ink=surface(values=surface().values - 3)),
        f"{kind} of nothing": partial(draw, ink=surface(values=np.full((16, 21), np.nan))),
        f"{kind} outside": partial(draw, ink=surface(points=(Mark(name="far", x=9, y=9),))),
        f"{kind} with many names": partial(
            draw, ink=surface(points=tuple(Mark(name=str(i), x=i / 30, y=0) for i in range(20)))
        ),
        f"small {kind}": partial(
            draw,
            ink=surface(
                x=np.array([0.0, 1.0]),
                y=np.array([0.0, 1.0]),
                values=np.eye(2),
                unreliable=np.zeros((2, 2), bool),
            ),
        ),
    }


RARE = ("of an error", "flat", "zero", "outside")  # drawn with --full alone


@pytest.mark.parametrize(
    "name", some(PICTURES, *(name for name in PICTURES if not any(one in name for one in RARE)))
)
def test_it_draws(name, tmp_path):
    made = Picture(name="one", title="cost $5$", draw=PICTURES[name], text="method $x$ \x1b <b>")
    for file in ("first.svg", "second.svg", "one.png"):
        save(made.figure(), tmp_path / file)
    first, second = ((tmp_path / file).read_bytes() for file in ("first.svg", "second.svg"))
    assert len(first) > 1000
    assert first == second


class Answer:
    def __init__(self, ink: SliceInk | SurfaceInk) -> None:
        self.ink = ink

    def draw(self, axes: Axes, *, label: str | None = None, colour: str | None = None) -> None:
        if isinstance(self.ink, SliceInk):
            draw_slices(axes, self.ink, label=label, colour=colour)
        else:
            draw_contours(axes, self.ink, label=label, colour=colour)

    def caption(self) -> str:
        return "method"

    def summary(self) -> str:
        return "summary"


def shown(*inks: SliceInk | SurfaceInk) -> Figure:
    labels = [f"answer {n}" for n in range(len(inks))] if len(inks) > 1 else [None]
    figure = overlay([Answer(ink) for ink in inks], labels)
    svg(figure)  # settles the layout
    return figure


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text)]


# --- lines ------------------------------------------------------------------------------------


def test_answers_are_overlaid_and_told_apart():
    figure = shown(line(curve("a"), curve("b")), line(curve("a", 2.0)))
    told = texts(figure)
    assert {"answer 0", "answer 1", "a", "b", "band", "one direction"} <= set(told)
    full = [one for one in figure.axes[0].lines if len(np.asarray(one.get_xdata())) == len(T)]
    assert len({one.get_color() for one in full}) == 2


def test_what_is_clipped_or_not_reliable_is_hollow():
    ink = line(curve(), clipped_at=0.5)
    axes = shown(ink).axes[0]
    hollow = [one for one in axes.lines if one.get_markerfacecolor() == "white"]
    places = np.asarray(hollow[0].get_xdata())
    expected = T[(0.1 + T**2 > 0.5) | (np.abs(T) >= 0.9)]
    np.testing.assert_allclose(places, expected)
    assert np.asarray(hollow[0].get_ydata()).max() <= 0.5
    assert "clipped, unreliable" in texts(axes.get_figure())  # type: ignore[arg-type]


def test_a_scale_for_many_decades():
    assert shown(line(curve(height=1000.0))).axes[0].get_yscale() == "log"
    assert shown(line(curve())).axes[0].get_yscale() == "linear"
    assert shown(line(curve(height=1000.0), quantity="error")).axes[0].get_yscale() == "linear"


# --- planes -----------------------------------------------------------------------------------


def test_levels_are_even_in_the_logarithm_of_a_loss():
    levels = Scale.of([surface()]).levels
    np.testing.assert_allclose(levels[[0, -1]], [0.01, 5.01])
    np.testing.assert_allclose(np.diff(np.log(levels)), np.log(501) / 14)
    levels = Scale.of([surface(quantity="error")]).levels
    np.testing.assert_allclose(np.diff(levels), 5 / 14)
    assert not Scale.of([surface(values=surface().values - 3)]).logarithmic


def test_one_scale_for_all_side_by_side():
    low, high = surface(), surface(values=100 * surface().values)
    scale = Scale.of([low, high])
    assert (scale.low, scale.high) == pytest.approx((0.01, 501))
    figure = shown(low, high, replace(low, scale=(1e-3, 1.0)))
    panels = figure.axes[0].child_axes[:3]
    norms: list[Any] = [panel.collections[0].norm for panel in panels]
    limits = {tuple(norm.boundaries) for norm in norms}
    assert len(limits) == 1
    assert min(limits)[0] == pytest.approx(1e-3)
    assert {"answer 0", "answer 1", "answer 2"} <= set(texts(figure))
    assert figure.axes[0].has_data()


def test_an_answer_may_have_several_planes():
    inks = [replace(surface(), name=name) for name in ("first.pt", "last.pt")]
    axes = Figure().add_subplot()
    for ink in inks:
        draw_contours(axes, ink, label="a label")
    told = [text.get_text() for text in axes.findobj(Text)]
    assert told.count("a label") == 2
    assert {"first.pt", "last.pt"} <= set(told)


def test_lines_and_planes_do_not_share_a_scale():
    with pytest.raises(SettingError, match="one scale"):
        shown(line(curve()), surface())
    with pytest.raises(SettingError, match="one scale"):
        shown(surface(), line(curve()))
    with pytest.raises(SettingError, match="one scale"):
        shown(surface(), surface(quantity="error"))


def area(axes: Axes, hatch: str) -> float:
    """Return the area that is hatched so."""
    total = 0.0
    for one in axes.collections:
        if isinstance(one, PolyCollection) and one.get_hatch() == hatch:
            for path in one.get_paths():
                corners = np.asarray(path.vertices)
                (left, low), (right, high) = corners.min(0), corners.max(0)
                total += (right - left) * (high - low)
    return total


def test_cells_to_distrust_are_hatched_each_in_its_way():
    ink = spoilt()
    figure = shown(ink)
    cell = (ink.x[1] - ink.x[0]) * (ink.y[1] - ink.y[0])
    assert ink.infinite.sum() == 13
    assert ink.doubtful.sum() == 3  # where the value is not finite, that is what is said
    assert not (ink.infinite & ink.clipped).any()
    for hatch, mask in (("xxxx", ink.infinite), ("////", ink.clipped), ("|||", ink.doubtful)):
        assert area(figure.axes[0], hatch) == pytest.approx(mask.sum() * cell)
    assert {"not finite", "clipped", "not reliable"} <= set(texts(figure))
    assert not {"not finite", "clipped", "not reliable"} & set(texts(shown(surface())))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_page_can_find_the_cells(count):
    inks = [replace(surface(), points=(Mark(name="a", x=0.25, y=0.5),)) for _ in range(count)]
    figure = shown(*inks)
    found = cells_of(figure)
    for one, ink in zip(found, inks, strict=True):
        np.testing.assert_array_equal(one.ink.values, ink.values)
    width, height = figure.bbox.size
    panels = [figure.axes[0]] if count == 1 else figure.axes[0].child_axes[:count]
    for one, panel in zip(found, panels, strict=True):
        x, y = panel.transData.transform((0.25, 0.5))
        (left, top, wide, tall), (x0, x1, y0, y1) = one.box, one.view
        assert left + wide * (0.25 - x0) / (x1 - x0) == pytest.approx(x / width)
        assert top + tall * (y1 - 0.5) / (y1 - y0) == pytest.approx(1 - y / height)
    assert cells_of(shown(line(curve()))) == ()


def test_a_fine_grid_is_made_coarser_about_its_middle():
    x = np.linspace(-1, 1, 101)
    values = np.add.outer(x, 10 * x)
    ink = surface(x=x, y=x, values=values, unreliable=values > 0)
    seen = ink.coarser(24)
    np.testing.assert_allclose(seen.x[[0, 12, 24]], [-1, 0, 1], atol=1e-12)
    np.testing.assert_allclose(seen.values, np.add.outer(seen.y, 10 * seen.x))
    assert (seen.unreliable == (seen.values > 0)).all()
    assert surface().coarser(24).values is not None
    np.testing.assert_array_equal(surface().coarser(24).values, surface().values)


def test_planes_on_other_axes_have_their_own_numbers():
    other = replace(surface(), x=3 * surface().x, axis_names=("along", "across"), unit="distance")
    told = texts(shown(surface(), other))
    assert {"first direction", "along (distance)", "across (distance)"} <= set(told)
    assert texts(shown(surface(), surface())).count("second direction") == 1


# --- surfaces ---------------------------------------------------------------------------------


@pytest.mark.parametrize("azimuth", [-170, -100, -60, -10, 20, 80, 130, 180, 300])
@pytest.mark.parametrize("elevation", [5, 32, 80])
def test_the_projection_is_a_rotation(azimuth, elevation):
    view = View(azimuth=azimuth, elevation=elevation, tall=1.0)
    origin = view.project(np.array(0), np.array(0), np.array(0.5))
    np.testing.assert_allclose(origin, 0)
    axes = view.project(*np.add(np.eye(3), [[0], [0], [0.5]]))  # of x, y and z, on paper
    eye = np.array([np.cos(np.radians(azimuth)), np.sin(np.radians(azimuth)), 0])
    eye = np.cos(np.radians(elevation)) * eye + np.sin(np.radians(elevation)) * np.eye(3)[2]
    frame = np.column_stack((axes, eye))
    np.testing.assert_allclose(frame.T @ frame, np.eye(3), atol=1e-12)
    assert np.linalg.det(frame) == pytest.approx(1)


@pytest.mark.parametrize("azimuth", [-170, -100, -60, -10, 20, 80, 130])
def test_what_is_painted_last_is_nearest_to_the_eye(azimuth):
    view, generator = View(azimuth=azimuth, elevation=25.0), np.random.default_rng(azimuth % 360)
    x, y = np.meshgrid(np.linspace(-1, 1, 8), np.linspace(-1, 1, 7))
    heights = generator.random(x.shape)
    paper = view.project(x, y, heights)
    a, e = np.radians((view.azimuth, view.elevation))
    nearness = np.cos(e) * (np.cos(a) * x + np.sin(a) * y) + np.sin(e) * view.tall * heights
    across, up = view.far_to_near(7, 6)
    faces = [
        ((i, j), corners)
        for i in up
        for j in across
        for corners in (((i, j), (i, j + 1), (i + 1, j + 1)), ((i, j), (i + 1, j + 1), (i + 1, j)))
    ]
    compared = 0
    for spot in generator.uniform(-1, 1, (150, 2)):
        hits = [
            (cell, depth)
            for cell, corners in faces
            if (depth := _depth(spot, corners, paper, nearness)) is not None
        ]
        if len({cell for cell, _ in hits}) > 1:
            nearest = max(hits, key=lambda hit: hit[1])[0]
            assert hits[-1][0] == nearest
            compared += 1
    assert compared > 20


def _depth(spot, corners, paper, nearness) -> float | None:
    """Return how near to the eye a triangle is at a spot of the paper; None beside it."""
    a, b, c = (paper[corner] for corner in corners)
    try:
        s, t = np.linalg.solve(np.column_stack((b - a, c - a)), spot - a)
    except np.linalg.LinAlgError:
        return None
    if min(s, t, 1 - s - t) < 0:
        return None
    at = [nearness[corner] for corner in corners]
    return (1 - s - t) * at[0] + s * at[1] + t * at[2]


def test_places_lie_on_the_surface():
    x, y = np.linspace(-1, 3, 9), np.linspace(0, 2, 6)
    values = 1 + 2 * x[None, :] + 3 * y[:, None] + 4
    ink = surface(
        x=x, y=y, values=values, unreliable=np.zeros(values.shape, bool), quantity="error"
    )
    scale = Scale.of([ink])
    places = np.array([[0.3, 0.7], [-1.0, 0.0], [3.0, 2.0], [2.9, 0.05]])
    height = (1 + places @ [2, 3] + 4 - scale.low) / (scale.high - scale.low)
    expected = VIEW.project((places[:, 0] - 1) / 2, places[:, 1] - 1, height)
    np.testing.assert_allclose(lifted(ink, scale, places), expected, atol=1e-12)
    assert np.isnan(lifted(ink, scale, np.array([[3.1, 1.0], [0.0, -0.1]]))).all()


def test_a_trajectory_follows_the_surface():
    line = np.array([[0.0, 0.0], [1.0, 2.0], [1.0, 0.0]])
    dense = finer(line, 4)
    assert dense.shape == (9, 2)
    np.testing.assert_allclose(dense[::4], line)
    np.testing.assert_allclose(dense[1], [0.25, 0.5])
    assert finer(line[:1]).shape == (1, 2)


def test_holes_are_not_painted_and_doubt_is_grey():
    whole, ink = surface(), spoilt()
    scale = Scale.of([whole])
    assert len(mesh(whole, scale)[0]) == 20 * 15
    faces, colours = mesh(ink, scale)
    touched = ink.infinite[:-1, :-1] | ink.infinite[1:, :-1] | ink.infinite[:-1, 1:]
    touched |= ink.infinite[1:, 1:]
    assert len(faces) == 20 * 15 - touched.sum()
    assert np.isfinite(faces).all()
    grey = np.ptp(colours / colours.max(axis=1, keepdims=True), axis=1) < 0.1
    assert 0 < grey.sum() < len(faces)


def test_a_fine_grid_is_drawn_with_fewer_faces():
    x = np.linspace(-1, 1, 51)
    values = 0.1 + x[None, :] ** 2 + x[:, None] ** 2
    ink = surface(x=x, y=x, values=values, unreliable=np.zeros(values.shape, bool))
    assert len(mesh(ink, Scale.of([ink]))[0]) <= 26**2
    text = svg(Picture(name="a", title="a", draw=partial(draw_relief, ink=ink), text="").figure())
    assert len(text) < 110_000


def test_a_page_can_find_the_surfaces():
    figure = Figure()
    axes = figure.add_subplot()
    inks = (surface(), surface(values=10 * surface().values))
    inks = (inks[0], replace(inks[1], name="last.pt"))
    for ink, label in zip(inks, ("a", "b"), strict=True):
        draw_relief(axes, ink, label=label)
    found = relief_of(figure)
    assert found is not None
    assert (found.inks, found.labels) == (inks, ("a", "b · last.pt"))
    assert found.scale == pytest.approx((0.01, 50.1))
    assert relief_of(shown(surface())) is None
