"""Surfaces in the page: values under the pointer, a view to turn, a picture without scripts."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser

from landscape.figures.picture import Picture
from landscape.figures.surface import Mark, SurfaceInk, draw_contours, draw_relief
from landscape.reports import html, live
from landscape.reports.report import Report
from tests.reports.chromium import CHROMIUM, Reader
from tests.reports.conftest import PAYLOAD
from tests.reports.test_html import Page

SIDE = 51


def ink(scale: float = 1.0, name: str = "last.pt") -> SurfaceInk:
    x, y = np.linspace(-1, 1, SIDE), np.linspace(-0.5, 1.5, SIDE)
    values = scale * (0.02 + x[None, :] ** 2 + 3 * y[:, None] ** 2 + 0.3 * np.sin(9 * x)[None] ** 2)
    doubt = np.zeros(values.shape, bool)
    doubt[30, 10:14] = True
    values[-4:, :5] = np.nan
    t = np.linspace(-0.9, 0, 12)
    return SurfaceInk(
        x=x,
        y=y,
        values=values,
        unreliable=doubt,
        clipped_at=5.0,
        points=(Mark(name=name, x=0.0, y=0.0), Mark(name="first.pt", x=-0.9, y=0.81)),
        trajectory=np.stack((t, t**2), axis=1),
        axis_names=(name, "second direction"),
    )


def pictures(name: str = "last.pt") -> tuple[Picture, ...]:
    def two(axes: Any) -> None:
        for label, scale in ((name, 1.0), ("other", 0.3)):
            draw_relief(axes, ink(scale, name), label=label)

    drawn = {
        "contours": partial(draw_contours, ink=ink(name=name)),
        "relief": partial(draw_relief, ink=ink(name=name)),
        "reliefs": two,
    }
    return tuple(Picture(name=key, title=key, draw=draw, text="") for key, draw in drawn.items())


def page_of(report: Report, monkeypatch: pytest.MonkeyPatch, name: str = "last.pt") -> str:
    """Return the page of a report whose weights are shown with surfaces."""

    def given(result: Any) -> tuple[Picture, ...]:
        return pictures(name) if result.name == "weights" else ()

    monkeypatch.setattr(html, "pictures_of", given)
    return html.render_html(report.to_json())


@pytest.fixture(scope="module")
def page(one: Report) -> str:
    with pytest.MonkeyPatch.context() as monkeypatch:
        return page_of(one, monkeypatch)


def code(page: str) -> list[str]:
    return re.findall(r"<script>(.*?)</script>", page, re.DOTALL)


def islands(page: str) -> list[dict[str, Any]]:
    found = re.findall(r'<script type="application/json">(.*?)</script>', page)
    return [json.loads(one) for one in found]


def test_numbers_stand_beside_the_figures(page: str) -> None:
    cells, relief, reliefs = islands(page)
    shown, (panel,) = ink(), cells["panels"]
    expected = [None if np.isnan(v) else pytest.approx(v, rel=1e-3) for v in shown.values.ravel()]
    assert panel["values"] == expected
    assert panel["doubtful"] == np.flatnonzero(shown.unreliable).tolist()
    assert panel["clipped"] == np.flatnonzero(shown.values.ravel() > 5).tolist()
    (surface,) = relief["surfaces"]
    codes = np.frombuffer(base64.b64decode(surface["heights"]), "<u2").reshape(SIDE, SIDE)
    low, high = relief["scale"]
    heights = low * (high / low) ** (codes / 65534)
    holes = np.isnan(shown.values)
    assert (codes[holes] == 65535).all()
    np.testing.assert_allclose(heights[~holes], np.minimum(shown.values, 5)[~holes], rtol=2e-4)
    assert [one["label"] for one in reliefs["surfaces"]] == ["last.pt", "other"]
    assert reliefs["scale"][0] == pytest.approx(0.3 * float(np.nanmin(shown.values)), rel=1e-4)


def test_numbers_are_small(page: str) -> None:
    found = re.findall(r'<script type="application/json">(.*?)</script>', page)
    assert max(map(len, found)) < 30_000
    assert len(live.script()) < 30_000
    drawings = re.findall(r'<div class="live"[^>]*>(<svg.*?</svg>)', page, re.DOTALL)
    assert max(map(len, drawings)) < 160_000
    assert max(len(one) for one in drawings[:2]) < 85_000
    assert "var(--figure-24292f, #24292f)" in drawings[1]


def test_a_grid_of_any_size_makes_a_page_of_bounded_size() -> None:
    x = np.linspace(-1, 1, 401)
    values = 0.1 + x[None, :] ** 2 + x[:, None] ** 2
    big = SurfaceInk(x=x, y=x, values=values, unreliable=values < 0)
    for draw in (draw_contours, draw_relief):
        figure = Picture(name="a", title="a", draw=partial(draw, ink=big), text="").figure()
        assert len(live.drawn(figure, name="a", title="a")) < 300_000


def test_policy_admits_both_scripts(page: str) -> None:
    scripts = code(page)
    assert len(scripts) == 2
    policy = re.search(r"script-src ([^;]*);", page)
    assert policy
    assert policy[1].split() == [f"'{html.script_hash(one)}'" for one in scripts]


def test_page_refers_to_nothing_outside(page: str) -> None:
    assert not re.search(r"https?:|@import|url\((?!#)|\bfetch\b|XMLHttp|import\(", page)


def test_a_page_without_surfaces_has_no_script_for_them(several: Report) -> None:
    plain = html.render_html(several.to_json())
    assert live.script() not in plain
    assert "relief" not in plain


def test_hostile_names_stay_text(one: Report, monkeypatch: pytest.MonkeyPatch, page: str) -> None:
    attacked = page_of(one, monkeypatch, PAYLOAD)
    assert "<img" not in attacked
    assert set(Page(attacked).tags) <= set(Page(page).tags)
    assert code(attacked) == code(page)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\u2028\u2029]", attacked)
    told = islands(attacked)[1]["surfaces"][0]["points"][0][0]
    assert told.startswith("<img")
    assert len(told) <= live.NAME


# --- in a browser -----------------------------------------------------------------------------

PIXELS = """(index, from = 0, to = 1) => {
  const canvas = document.querySelectorAll(".relief canvas")[index];
  const left = Math.floor(from * canvas.width), wide = Math.floor(to * canvas.width) - left;
  const { data } = canvas.getContext("2d").getImageData(left, 0, wide, canvas.height);
  let filled = 0, sum = 7;
  for (let i = 0; i < data.length; i += 4) {
    filled += data[i + 3] > 0;
    sum = (31 * sum + 7 * data[i] + 3 * data[i + 1] + data[i + 2]) % 1000003;
  }
  return [sum, filled / (data.length / 4)];
}"""


class Viewer(Reader):
    """A reader who looks at canvases."""

    def show(self, **preferences: Any) -> None:
        """Open the page and let it draw."""
        self.open(**preferences)
        self.frames()

    def pixels(self, index: int = 0, start: float = 0, end: float = 1) -> tuple[int, float]:
        """Return a digest of a canvas, and the share of it that is not blank."""
        self.frames()
        digest, share = self.page.evaluate(f"({PIXELS})({index}, {start}, {end})")
        return digest, share

    def ask(self, script: str) -> Any:
        """Return the value of an expression in the page."""
        return self.page.evaluate(script)


@pytest.fixture(scope="module")
def file(page: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("surface") / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


@pytest.fixture
def viewer(chromium: Browser, file: Path) -> Iterator[Viewer]:
    viewer = Viewer(chromium, file)
    yield viewer
    viewer.close()
    viewer.check_innocent()


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
class TestBrowser:
    @pytest.mark.parametrize("width", [pytest.param(400, marks=pytest.mark.full), 1280])
    def test_a_surface_is_drawn_and_turns_by_keys(self, viewer: Viewer, width: int) -> None:
        viewer.show(width=width)
        viewer.ask("document.querySelector('.relief canvas').focus()")
        first = viewer.pixels()
        assert first[1] > 0.15
        assert viewer.pixels() == first
        seen = {}
        for name in ("ArrowLeft", "ArrowRight", "ArrowUp", "+", "Home"):
            viewer.page.keyboard.press(name)
            seen[name] = viewer.pixels()
        assert first == seen["ArrowRight"] == seen["Home"]
        assert len({first, seen["ArrowLeft"], seen["ArrowUp"], seen["+"]}) == 4
        assert seen["+"][1] > seen["ArrowUp"][1]

    def test_it_is_reached_by_the_tabulator_and_tells_its_keys(self, viewer: Viewer) -> None:
        viewer.show()
        viewer.ask("document.querySelector('.relief-bar > button:last-of-type').focus()")
        viewer.page.keyboard.press("Tab")
        assert viewer.ask("document.activeElement.tagName") == "CANVAS"
        label = viewer.ask("document.activeElement.getAttribute('aria-label')")
        assert label.startswith("loss over last.pt and second direction as a surface, from 0.02")
        hint = viewer.ask("document.querySelector('.relief-bar span').textContent")
        assert hint.endswith("Grey: clipped or not reliable. Holes: not finite.")
        assert "Arrow keys turn it, plus and minus zoom, Home brings it back." in label

    def test_the_mouse_turns_it(self, viewer: Viewer) -> None:
        viewer.show()
        first, (x, y) = viewer.pixels(), viewer.at(".relief canvas")
        mouse = viewer.page.mouse
        mouse.move(x, y)
        assert viewer.pixels() == first
        mouse.down()
        mouse.move(x + 80, y + 10)
        assert viewer.pixels() != first
        mouse.move(x, y)
        mouse.up()
        assert viewer.pixels() == first
        mouse.move(x + 80, y)
        assert viewer.pixels() == first

    def test_fingers_turn_and_zoom_it(self, viewer: Viewer) -> None:
        viewer.show(width=400)
        first, (x, y) = viewer.pixels(), viewer.at(".relief canvas")
        touch = viewer.touch
        touch("Start", (x, y))
        for step in range(1, 9):
            touch("Move", (x + 10 * step, y))
        touch("End")
        turned = viewer.pixels()
        assert turned != first
        touch("Start", (x - 20, y), (x + 20, y))
        for step in range(1, 9):
            touch("Move", (x - 20 - 3 * step, y), (x + 20 + 3 * step, y))
        touch("End")
        assert viewer.pixels()[1] > 1.2 * turned[1]

    def test_several_surfaces_turn_together(self, viewer: Viewer) -> None:
        viewer.show()
        viewer.ask("document.querySelectorAll('.relief canvas')[1].focus()")
        halves = ((1, 0.0, 0.5), (1, 0.5, 1.0))
        before = [viewer.pixels(*half) for half in halves]
        viewer.page.keyboard.press("ArrowLeft")
        after = [viewer.pixels(*half) for half in halves]
        assert min(share for _, share in before) > 0.1
        assert before[0] != after[0]
        assert before[1] != after[1]

    def test_heights_in_the_logarithm_or_not(self, viewer: Viewer) -> None:
        viewer.show()
        first, pressed = viewer.pixels(), []
        for child in (2, 1):
            viewer.ask(f"document.querySelector('.relief-scale :nth-child({child})').click()")
            pressed.append(
                viewer.ask(
                    "[...document.querySelectorAll('.relief')[0].querySelectorAll('[aria-pressed]')]"
                    ".map((one) => one.getAttribute('aria-pressed'))"
                )
            )
            assert (viewer.pixels() == first) == (child == 1)
        assert pressed == [["false", "true"], ["true", "false"]]

    def test_colours_follow_the_theme(self, viewer: Viewer) -> None:
        viewer.show(scheme="light")
        light = viewer.pixels()
        viewer.ask("document.querySelector('.theme [data-theme=dark]').click()")
        dark = viewer.pixels()
        viewer.ask("document.querySelector('.theme [data-theme=auto]').click()")
        assert viewer.pixels() == light != dark
        viewer.page.emulate_media(color_scheme="dark")
        assert viewer.pixels() == dark

    def test_motion_only_where_it_is_wanted(self, viewer: Viewer) -> None:
        drawn = []
        for wanted in ("no-preference", "reduce"):
            viewer.show(motion=wanted)
            viewer.ask("document.querySelector('.relief canvas').focus()")
            viewer.ask(
                """(() => {
                  const of = HTMLCanvasElement.prototype, original = of.getContext;
                  window.drawn = 0;
                  of.getContext = function (...given) {
                    window.drawn += 1;
                    return original.apply(this, given);
                  };
                })()"""
            )
            viewer.page.keyboard.press("ArrowLeft")
            viewer.frames(40)
            drawn.append(viewer.ask("window.drawn"))
        assert drawn[0] > 5
        assert drawn[1] == 1

    @pytest.mark.parametrize("width", [pytest.param(400, marks=pytest.mark.full), 1280])
    def test_values_are_told_where_they_are_drawn(self, viewer: Viewer, width: int) -> None:
        viewer.show(width=width)
        values, words = ink().values, "document.querySelector('.cells.told output')?.innerText"

        def told(x: float, y: float) -> str:
            viewer.page.mouse.move(*viewer.at(".cells", x, 1 - y))
            return viewer.ask(words)

        assert told(0.25, 0.5) == f"−0.52, 0.5: loss {values[25, 12]:.4g}"
        assert told(0.004, 0.996) == "−1, 1.5: loss not finite"
        assert told(0.6, 0.99).endswith(", clipped in the figure")
        assert told(12 / 50, 30 / 50).endswith(", not reliable")
        viewer.page.mouse.move(5, 5)
        assert viewer.ask(words) is None
        viewer.ask("document.querySelector('.cells').focus()")
        told(0.5, 0.5)
        viewer.page.keyboard.press("ArrowRight")
        viewer.page.keyboard.press("ArrowUp")
        assert viewer.ask(words) == f"0.04, 0.54: loss {values[26, 26]:.4g}"

    def test_the_mark_lies_on_its_cell(self, viewer: Viewer) -> None:
        viewer.show()
        viewer.page.mouse.move(*viewer.at(".cells", 0.25, 0.5))
        apart, mark = viewer.ask(
            """(() => {
              const area = document.querySelector(".cells"), holder = area.parentElement;
              const box = (one) => one.getBoundingClientRect();
              const [a, b] = [box(holder), box(holder.querySelector("svg"))];
              const [c, d] = [box(area), box(area.querySelector("span"))];
              return [
                Math.max(...["left", "top", "width", "height"].map((k) => Math.abs(a[k] - b[k]))),
                [(d.left - c.left) / c.width, (d.right - c.left) / c.width,
                  (d.top - c.top) / c.height, (d.bottom - c.top) / c.height]];
            })()"""
        )
        assert apart < 1
        assert mark == pytest.approx([11.5 / 50, 12.5 / 50, 24.5 / 50, 25.5 / 50], abs=2e-3)

    def test_the_picture_at_rest_shows_without_scripts(self, viewer: Viewer) -> None:
        viewer.open(scripts=False)
        assert self._pictures(viewer) == [["block", True]] * 3
        assert viewer.ask("document.querySelectorAll('canvas').length") == 0

    def test_the_picture_at_rest_is_printed(self, viewer: Viewer) -> None:
        viewer.show()
        assert self._pictures(viewer) == [["block", True], ["none", False], ["none", False]]
        viewer.page.emulate_media(media="print")
        assert self._pictures(viewer) == [["block", True]] * 3
        shown = viewer.ask(
            "[...document.querySelectorAll('.relief, .cells')]"
            ".map((one) => getComputedStyle(one).display)"
        )
        assert set(shown) == {"none"}

    @staticmethod
    def _pictures(viewer: Viewer) -> list[tuple[str, bool]]:
        return viewer.ask(
            "[...document.querySelectorAll('.live > svg')].map((one) => "
            "[getComputedStyle(one).display, one.getBoundingClientRect().height > 200])"
        )

    @pytest.mark.parametrize(
        "width", [400, *(pytest.param(w, marks=pytest.mark.full) for w in (700, 1280))]
    )
    def test_the_page_never_scrolls_sideways(self, viewer: Viewer, width: int) -> None:
        viewer.show(width=width)
        assert viewer.ask("document.documentElement.scrollWidth") == width

    def test_hostile_names_are_inert(
        self, one: Report, monkeypatch: pytest.MonkeyPatch, chromium: Browser, tmp_path: Path
    ) -> None:
        path = tmp_path / "report.html"
        path.write_text(page_of(one, monkeypatch, PAYLOAD), encoding="utf-8")
        attacked = Viewer(chromium, path)
        attacked.show()
        assert attacked.page.locator("img").count() == 0
        assert attacked.pixels()[1] > 0.15
        assert "<img" in (attacked.page.locator("canvas").first.get_attribute("aria-label") or "")
        attacked.close()
        attacked.check_innocent()
