"""Figures of paths, pairs and planes: they draw whatever comes, and show what they should."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from landscape.figures.canvas import save
from landscape.figures.connection import Along, ConnectionInk, draw_connection
from landscape.figures.pairs import PairsInk, draw_graph, draw_matrix
from landscape.figures.picture import Picture
from landscape.figures.weight_plane import PlaneInk, draw_plane

T = np.linspace(0, 1, 25)
HOSTILE = "_run$0$\x1b<b>" + "x" * 60


def along(name: str, height: float, told: str = "barrier") -> Along:
    value = 0.2 + height * T * (1 - T)
    return Along(name=name, t=T, value=value, lower=0.9 * value, upper=1.1 * value, told=told)


def connection(*paths: Along, quantity: str = "loss", tolerance: float = 0.1) -> ConnectionInk:
    return ConnectionInk(
        quantity=quantity, paths=paths, ends=(HOSTILE, "b.pt"), tolerance=tolerance
    )


def pairs(count: int, fill: float | None = None) -> PairsInk:
    generator = np.random.default_rng(count)
    barriers = generator.random((count, count)) if fill is None else np.full((count, count), fill)
    np.fill_diagonal(barriers, np.nan)
    words = ("connected", "barrier", "inconclusive", "refused")
    verdicts = generator.choice(words, (count, count))
    return PairsInk(
        names=tuple(f"{HOSTILE}{i}" for i in range(count)),
        barriers=barriers,
        verdicts=tuple(map(tuple, np.triu(verdicts, 1).tolist())),
        components=tuple(i // 2 for i in range(count)),
        tolerance=0.02,
        quantity="error",
    )


def symmetric(ink: PairsInk) -> PairsInk:
    count = len(ink.names)
    table = [[ink.verdicts[min(i, j)][max(i, j)] for j in range(count)] for i in range(count)]
    return replace(ink, verdicts=tuple(map(tuple, table)))


def plane(fill: float | None = None) -> PlaneInk:
    x, y = np.linspace(-1, 4, 11), np.linspace(-1, 2, 9)
    loss = 0.1 + x[None, :] ** 2 + 3 * y[:, None] ** 2
    return PlaneInk(
        x=x,
        y=y,
        loss=loss if fill is None else np.full_like(loss, fill),
        corners=np.array([[0.0, 0.0], [1.5, 1.2], [3.0, 0.0]]),
        names=(HOSTILE, "bend", "b.pt"),
        path=np.stack((3 * T, T * (1 - T)), axis=1),
    )


BROKEN = replace(along("line", 1.0), value=np.full(25, np.nan))
PICTURES = {
    "three paths": partial(
        draw_connection, ink=connection(*(along(n, 1.0) for n in ("line", "aligned", "curve")))
    ),
    "many decades": partial(draw_connection, ink=connection(along("line", 1000.0))),
    "error": partial(draw_connection, ink=connection(along("line", 1.0), quantity="error")),
    "another path": partial(draw_connection, ink=connection(along(HOSTILE, 1.0))),
    "no tolerance": partial(draw_connection, ink=connection(along("line", 1.0), tolerance=np.nan)),
    "not finite": partial(draw_connection, ink=connection(BROKEN)),
    "no path": partial(draw_connection, ink=connection()),
    **{f"matrix {n}": partial(draw_matrix, ink=symmetric(pairs(n))) for n in (2, 5, 40)},
    "matrix of nothing": partial(draw_matrix, ink=symmetric(pairs(3, np.nan))),
    "matrix of zeros": partial(draw_matrix, ink=symmetric(pairs(3, 0.0))),
    **{f"graph {n}": partial(draw_graph, ink=symmetric(pairs(n))) for n in (2, 5, 40)},
    "plane": partial(draw_plane, ink=plane()),
    "flat plane": partial(draw_plane, ink=plane(1.0)),
    "plane of nothing": partial(draw_plane, ink=plane(np.nan)),
    "plane with a pole": partial(
        draw_plane, ink=replace(plane(), loss=np.where(plane().loss > 8, np.inf, plane().loss))
    ),
}
PAINTED = ("three paths", "matrix 5", "graph 5", "plane")  # one of each as pixels, too


@pytest.mark.parametrize(
    ("suffix", "name"),
    [
        *(("svg", name) for name in PICTURES),
        *(("png", name) for name in PICTURES if name in PAINTED),
        *(pytest.param("png", n, marks=pytest.mark.full) for n in PICTURES if n not in PAINTED),
    ],
)
def test_it_draws(name, suffix, tmp_path):
    made = Picture(name="one", title="cost $5$", draw=PICTURES[name], text="method $x$ \x1b <b>")
    for number in range(2):
        save(made.figure(), tmp_path / f"{number}.{suffix}")
    first, second = ((tmp_path / f"{number}.{suffix}").read_bytes() for number in range(2))
    assert len(first) > 1000
    assert first == second


def drawn(name: str) -> tuple[Axes, list[str]]:
    axes = Figure().add_subplot()
    PICTURES[name](axes)
    return axes, [text.get_text() for text in axes.findobj(Text)]


def test_paths_are_told_apart():
    axes, texts = drawn("three paths")
    for name in ("line: barrier", "aligned: barrier", "curve: barrier", "tolerated"):
        assert name in texts
    colours = {line.get_color() for line in axes.lines if len(np.asarray(line.get_xdata())) == 25}
    assert len(colours) == 3
    assert "tolerated" not in drawn("no tolerance")[1]


def test_a_scale_for_many_decades():
    assert drawn("many decades")[0].get_yscale() == "log"
    assert drawn("three paths")[0].get_yscale() == "linear"


def test_the_tolerance_stands_above_the_line_between_the_ends():
    axes, _ = drawn("three paths")
    straight = [line for line in axes.lines if len(np.asarray(line.get_xdata())) == 2]
    heights = sorted(float(np.asarray(line.get_ydata())[0]) for line in straight)
    assert heights == pytest.approx([0.2, 0.3])


def test_every_cell_has_a_verdict():
    _, texts = drawn("matrix 5")
    assert sum(any(mark in text for mark in "✓✗?–") for text in texts) >= 10
    assert "frame: component" in texts


def test_nothing_is_said_to_be_drawn_where_nothing_is():
    assert any("no pair" in text for text in drawn("matrix of nothing")[1])
    assert any("no finite" in text for text in drawn("plane of nothing")[1])


def luminance(colour: Sequence[float]) -> float:
    """WCAG 2.1, relative luminance."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


@pytest.mark.parametrize("name", ["matrix 5", "matrix of zeros"])
def test_numbers_in_the_matrix_can_be_read_on_their_colours(name):
    axes, _ = drawn(name)
    for image in axes.images:
        colours = image.to_rgba(np.ma.asarray(image.get_array()))
        for text in axes.texts:
            column, row = map(int, text.get_position())
            pair = [luminance(to_rgb(text.get_color())), luminance(colours[row, column])]
            low, high = sorted(pair)
            assert (high + 0.05) / (low + 0.05) > 4.5


def test_the_matrix_says_what_its_numbers_are():
    axes, texts = drawn("matrix 5")
    assert axes.get_xlabel().startswith("error barrier: ")
    ink = PICTURES["matrix 5"].keywords["ink"]
    written = [text.get_text().split()[0] for text in axes.texts if text.get_text()]
    shares = [ink.barriers[i, j] for i in range(5) for j in range(5) if i != j]
    assert written == [f"{share:.2g}" for share in shares]
    assert "0.02 tolerated" in texts
