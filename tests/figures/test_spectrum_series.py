from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes

from landscape.figures.canvas import save, svg
from landscape.figures.layers import LayersInk, draw_layers
from landscape.figures.picture import Picture
from landscape.figures.spectrum_series import Line, SeriesInk, draw_series


def line(values: np.ndarray, *, settled: bool = True) -> Line:
    return Line(
        value=values,
        lower=values - 0.1 * np.abs(values),
        upper=values + 0.2 * np.abs(values),
        settled=np.full(len(values), settled),
    )


def series(count: int = 8, k: int = 5, *, decades: float = 0.0, fill: float | None = None):
    time = np.linspace(0, 1, count)
    rise = 5 * (1 - np.exp(-4 * time)) + 1 if fill is None else np.full(count, fill)
    return SeriesInk(
        places=100.0 * np.arange(count),
        names=tuple(f"_step${i}$\x1b" for i in range(count)),
        by_step=True,
        top=tuple(line(rise / (rank + 1) * 10 ** (-decades * rank)) for rank in range(k)),
        bottom=line(-0.2 * rise),
        threshold=np.full(count, 6.0),
        rule="gradient descent",
        operator="Hessian",
    )


def by_name(count: int) -> SeriesInk:
    ink = series(count)
    return SeriesInk(**{**vars(ink), "by_step": False, "places": np.arange(count, dtype=float)})


def layers(count: int) -> LayersInk:
    generator = np.random.default_rng(0)
    return LayersInk(
        names=tuple(f"_layer.${i}$\x1b<b>" + "x" * (i % 40) for i in range(count)),
        parameters=np.arange(1, count + 1) * 1000,
        columns={
            "trace": 10 ** generator.normal(size=count) * generator.choice([-1, 1], count),
            "mass": generator.dirichlet(np.ones(count)) if count else np.zeros(0),
        },
        shares=("mass",),
    )


PICTURES = {
    "linear": partial(draw_series, ink=series()),
    "logarithmic": partial(draw_series, ink=series(decades=1.0)),
    "one checkpoint": partial(draw_series, ink=series(1)),
    "one eigenvalue": partial(draw_series, ink=series(k=1)),
    "no eigenvalue": partial(draw_series, ink=series(k=0)),
    "not finite": partial(draw_series, ink=series(fill=np.nan)),
    "zeros": partial(draw_series, ink=series(fill=0.0)),
    "by name": partial(draw_series, ink=by_name(5)),
    "many names": partial(draw_series, ink=by_name(30)),
    "many checkpoints": partial(draw_series, ink=series(100)),
    "layers": partial(draw_layers, ink=layers(6)),
    "one layer": partial(draw_layers, ink=layers(1)),
    "no layers": partial(draw_layers, ink=layers(0)),
    "forty layers": partial(draw_layers, ink=layers(40)),
    "three hundred layers": partial(draw_layers, ink=layers(300)),
}


def picture(name: str) -> Picture:
    return Picture(name="one", title="cost $5$", draw=PICTURES[name], text="method $x$ \x1b <b>")


@pytest.mark.parametrize("name", PICTURES)
def test_draws_and_says_what_it_is_told_literally(name: str) -> None:
    text = svg(picture(name).figure())
    assert text.startswith("<svg")
    assert "\x1b" not in text
    assert "method $x$" in text
    assert len(text) < 200_000


def test_an_unsettled_eigenvalue_is_hollow() -> None:
    ink = series()
    loose = SeriesInk(**{**vars(ink), "top": (line(ink.top[0].value, settled=False),)})
    hollow = svg(
        Picture(name="a", title="", draw=partial(draw_series, ink=loose), text="").figure()
    )
    full = SeriesInk(**{**vars(ink), "top": ink.top[:1]})
    filled = svg(Picture(name="a", title="", draw=partial(draw_series, ink=full), text="").figure())
    assert hollow.count("#ffffff") > filled.count("#ffffff")


def drawn(ink: SeriesInk) -> Axes:
    return Picture(name="a", title="", draw=partial(draw_series, ink=ink), text="").figure().axes[0]


def few(threshold: float, *, k: int = 2) -> SeriesInk:
    """Two checkpoints, as of a first look."""
    return replace(
        series(2, k),
        places=np.array([50.0, 100.0]),
        top=tuple(line(np.array([20.0, 30.0]) / (1 + 0.2 * rank)) for rank in range(k)),
        bottom=line(np.array([-2.0, -3.0])),
        threshold=np.array([threshold, 2 * threshold]),
    )


def test_two_eigenvalues_are_named_apart() -> None:
    ink = few(40.0)
    text = svg(Picture(name="a", title="", draw=partial(draw_series, ink=ink), text="").figure())
    assert "λ₂" in text
    assert "λ₂ … λ₂" not in text
    ends = {one.get_text(): one for one in drawn(ink).texts if one.get_text() in ("λ₁", "λ₂")}
    assert {name: one.get_verticalalignment() for name, one in ends.items()} == {
        "λ₁": "bottom",
        "λ₂": "top",
    }


def test_the_threshold_is_a_line_through_its_values() -> None:
    lines = [one for one in drawn(few(40.0)).lines if np.array_equal(one.get_ydata(), [40.0, 80.0])]
    assert {one.get_drawstyle() for one in lines} == {"default"}
    assert "D" in [one.get_marker() for one in lines]


@pytest.mark.parametrize(("threshold", "scale"), [(40.0, "linear"), (400.0, "log")])
def test_a_far_threshold_does_not_flatten_the_eigenvalues(threshold: float, scale: str) -> None:
    axes = drawn(few(threshold))
    assert axes.get_yscale() == scale
    low, high = axes.transAxes.inverted().transform(axes.transData.transform([(50, 20), (50, 30)]))
    assert high[1] - low[1] > 0.05
    size_said = "|λ| of the negative end" in axes.get_ylabel()
    assert size_said == (scale == "log")


def test_ticks_are_steps_that_exist() -> None:
    assert list(drawn(few(40.0)).get_xticks()) == [50, 100]
    many = series(100)
    ticks = drawn(many).get_xticks()
    assert set(ticks) <= set(many.places)
    assert {ticks[0], ticks[-1]} == {many.places[0], many.places[-1]}
    assert 5 <= len(ticks) <= 14
    crowded = replace(series(6), places=np.array([0.0, 1, 2, 3, 999_999, 1_000_000]))
    assert list(drawn(crowded).get_xticks()) == [0, 1_000_000]


def test_layers_that_share_a_row_show_the_largest() -> None:
    values = np.ones(100)
    values[30] = 77.0
    ink = LayersInk(
        names=tuple(map(str, range(100))), parameters=np.ones(100), columns={"a": values}
    )
    text = svg(Picture(name="a", title="", draw=partial(draw_layers, ink=ink), text="").figure())
    assert "30 … " in text or " … 30" in text or "… 31" in text
    assert text.count("<path") > 48


def test_saves(tmp_path: Path) -> None:
    save(picture("linear").figure(), tmp_path / "a.png")
    first = (tmp_path / "a.png").read_bytes()
    save(picture("linear").figure(), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == first
