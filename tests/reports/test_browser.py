"""The page in a real browser, with every section: read, sorted, enlarged, printed, attacked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from matplotlib.image import imread
from playwright.sync_api import Browser, Locator, Page

from landscape.reports.html import render_html
from landscape.reports.report import Report
from tests.reports.chromium import NEEDED, Reader, Scheme
from tests.reports.conftest import poisoned

pytestmark = [*NEEDED]

WIDTHS = (390, 700, 1280, 1920)
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
READABLE = 4.5  # contrast of text against its ground, WCAG 2.1 AA
PAPER = 718  # CSS pixels between the margins of A4

# every text that is seen, with its colour and the one behind it
CONTRASTS = """() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const over = (top, below) => {
    const a = top[3] ?? 1;
    return [0, 1, 2].map((k) => a * top[k] + (1 - a) * below[k]);
  };
  const ground = (one) => {
    const own = parts(getComputedStyle(one).backgroundColor);
    return own[3] === 0 ? ground(one.parentElement) : over(own, [255, 255, 255]);
  };
  const light = (colour) => {
    const [r, g, b] = colour.map((c) => c / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = {};
  while (words.nextNode()) {
    const one = words.currentNode.parentElement;
    if (!words.currentNode.data.trim() || !one.checkVisibility() || one.closest("script, svg")) {
      continue;
    }
    const below = ground(one), ink = over(parts(getComputedStyle(one).color), below);
    const [high, low] = [light(ink), light(below)].sort((a, b) => b - a);
    found[`${ink} on ${below}: ${one.tagName}.${one.className}`] = (high + 0.05) / (low + 0.05);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def document(whole: Report) -> dict[str, Any]:
    return whole.to_json()


@pytest.fixture(scope="module")
def file(document: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("browser") / "report.html"
    path.write_text(render_html(document), encoding="utf-8")
    return path


@pytest.fixture
def reader(chromium: Browser, file: Path) -> Iterator[Reader]:
    """Give a reader of the page; whatever he does, it neither complains nor asks for more."""
    reader = Reader(chromium, file)
    yield reader
    reader.close()
    reader.check_innocent()


def column(table: Locator, number: int) -> list[str]:
    cells = table.locator(f"tbody tr:visible td:nth-child({number + 1})")
    return cells.evaluate_all("(all) => all.map((one) => one.dataset.sort ?? one.textContent)")


# --- layout and colours -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        pytest.param(width, scheme, marks=() if width == quick else pytest.mark.full)
        for scheme, quick in zip(SCHEMES, (390, 1280), strict=True)
        for width in WIDTHS
    ],
)
def test_the_page_never_scrolls_sideways(reader: Reader, width: int, scheme: Scheme) -> None:
    page = reader.open(width=width, scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    boxes = page.locator("main, h1, h2, h3, p, dl, .card, .drawing, figcaption").evaluate_all(
        "(all) => Math.max(...all.map((one) => one.getBoundingClientRect().right))"
    )
    assert boxes <= width


@pytest.mark.parametrize("scheme", SCHEMES)
def test_text_can_be_read_on_its_ground(reader: Reader, scheme: Scheme) -> None:
    seen = reader.open(scheme=scheme).evaluate(CONTRASTS)
    assert len(seen) > 20
    assert {place: round(ratio, 2) for place, ratio in seen.items() if ratio < READABLE} == {}


def test_the_computed_contrast_is_that_of_the_standard(reader: Reader) -> None:
    page = reader.open()
    page.set_content("<body style='background:#fff'><p style='color:#777'>text</p>")
    assert list(page.evaluate(CONTRASTS).values()) == [pytest.approx(4.478, abs=1e-3)]


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (390, "light"),
        (1280, "dark"),
        pytest.param(390, "dark", marks=pytest.mark.full),
        pytest.param(1280, "light", marks=pytest.mark.full),
    ],
)
def test_screenshots_are_not_blank(reader: Reader, width: int, scheme: Scheme) -> None:
    pixels = imread(BytesIO(reader.open(width=width, scheme=scheme).screenshot()))[..., :3]
    assert pixels.shape[1] == width
    assert (pixels[-1, 2] < 0.2).all() == (scheme == "dark")
    assert pixels.std() > 0.02


def test_the_theme_can_be_chosen_and_is_remembered(reader: Reader) -> None:
    page = reader.open(scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    themes = page.get_by_role("group", name="Colours")
    light = page.evaluate(ground)
    themes.get_by_role("button", name="Dark").click()
    assert page.evaluate(ground) == "rgb(17, 20, 23)" != light
    assert themes.locator("[aria-pressed=true]").all_inner_texts() == ["Dark"]
    page.reload()
    assert page.evaluate(ground) == "rgb(17, 20, 23)"
    themes.get_by_role("button", name="Light").click()
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(ground) == light
    themes.get_by_role("button", name="Auto").click()
    assert page.evaluate(ground) == "rgb(17, 20, 23)"


def test_cross_checks_are_told_in_trust(reader: Reader) -> None:
    card = reader.open().locator("#trust .card", has_text="Cross-checks")
    lines = card.locator("li").all_inner_texts()
    assert len(lines) == 2
    assert lines[0].startswith("agree trace: random vectors and density")
    assert "1.22 ± 0.08" in lines[0]
    assert lines[1].startswith("disagree Gauss-Newton matrix")
    assert "Run landscape doctor." in lines[1]
    assert card.locator(".chip.bad").all_inner_texts() == ["disagree"]


# --- tables -------------------------------------------------------------------------------------


def test_a_table_is_sorted_by_value_up_and_down(reader: Reader) -> None:
    table = reader.open().locator("#weights table.data").first
    head = table.get_by_role("columnheader", name="norm", exact=True)
    before = [float(value) for value in column(table, 3)]
    assert len(set(before)) > 2
    for sense in ("ascending", "descending"):
        head.get_by_role("button").click()
        assert head.get_attribute("aria-sort") == sense
        values = [float(value) for value in column(table, 3)]
        assert values == sorted(before, reverse=sense == "descending") != before
    table.get_by_role("columnheader", name="tensor").get_by_role("button").press("Enter")
    assert head.get_attribute("aria-sort") is None
    assert column(table, 0) == ["0.bias", "0.weight", "2.bias", "2.weight"]


def test_rows_are_filtered_by_their_text(reader: Reader) -> None:
    page = reader.open()
    figure = page.locator("figure.table.many").filter(has_text="trace").first
    rows = figure.locator("tbody tr")
    total = rows.count()
    wanted = [text for text in rows.all_inner_texts() if "trace" in text.lower()]
    assert 0 < len(wanted) < total
    figure.get_by_role("searchbox", name="Filter rows").fill("TRACE")
    assert figure.locator("tbody tr:visible").all_inner_texts() == wanted
    assert figure.get_by_role("status").inner_text() == f"{len(wanted)} of {total} rows"
    figure.get_by_role("searchbox").fill("")
    assert figure.locator("tbody tr:visible").count() == total


@pytest.mark.parametrize("width", [390, 1280])
def test_a_table_that_is_too_wide_scrolls_in_its_box(reader: Reader, width: int) -> None:
    page = reader.open(width=width)
    boxes = page.locator(".table .scroll")
    seen = boxes.evaluate_all(
        """(all) => all.map((one) => {
          one.scrollLeft = 1e5;
          const last = one.querySelector("tr").lastElementChild.getBoundingClientRect().right;
          return last - one.getBoundingClientRect().right;
        })"""
    )
    assert len(seen) > 10
    assert max(map(abs, seen)) < 2
    wide = boxes.evaluate_all("(all) => all.filter((o) => o.scrollWidth > o.clientWidth).length")
    assert wide <= (len(seen) if width == 390 else 1)


# --- figures ------------------------------------------------------------------------------------


def test_a_figure_opens_as_large_as_the_window(reader: Reader) -> None:
    page = reader.open()
    card = page.locator("#s-spectrum .drawing").first
    small = card.locator("svg").bounding_box()
    opener = card.get_by_role("button", name="Enlarge: Figure, Spectrum")
    opener.click()
    dialog = page.get_by_role("dialog", name="Figure, Spectrum")
    large = dialog.locator("svg").bounding_box()
    assert small is not None
    assert large is not None
    assert large["width"] > 1.3 * small["width"]
    assert page.evaluate("document.activeElement.textContent") == "Close"
    page.keyboard.press("Escape")
    assert page.get_by_role("dialog").count() == 0
    again = card.locator("svg").bounding_box()
    assert again is not None
    assert [again[key] for key in ("x", "width", "height")] == [
        small[key] for key in ("x", "width", "height")
    ]
    assert opener.evaluate("(one) => one === document.activeElement")
    opener.press("Enter")
    dialog.get_by_role("button", name="Close").click()
    assert card.locator("svg").count() == 1


def test_a_surface_turns_when_it_is_enlarged_too(reader: Reader) -> None:
    page = reader.open()
    card = page.locator(".drawing", has=page.locator("canvas")).first
    card.get_by_role("button", name=re.compile("^Enlarge")).click()
    canvas = page.get_by_role("dialog").locator("canvas")
    picture = "(one) => one.toDataURL()"
    reader.frames()
    before, width = canvas.evaluate(picture), canvas.evaluate("(one) => one.width")
    canvas.press("ArrowLeft")
    reader.frames()
    assert canvas.evaluate(picture) != before
    canvas.press("ArrowRight")
    page.keyboard.press("Escape")
    reader.frames()
    assert card.locator("canvas").evaluate("(one) => one.width") < width


def test_the_document_can_be_taken_out(reader: Reader, document: dict[str, Any]) -> None:
    page = reader.open()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the JSON").click()
    assert download.value.suggested_filename == "report.json"
    assert json.loads(download.value.path().read_text(encoding="utf-8")) == document


# --- keyboard and names -------------------------------------------------------------------------


def test_the_tabulator_goes_through_the_page_in_its_order(reader: Reader) -> None:
    page = reader.open()
    reached: list[tuple[float, str]] = []
    for _ in range(400):
        page.keyboard.press("Tab")
        one = page.evaluate(
            """() => {
              const one = document.activeElement, look = getComputedStyle(one);
              const place = [...document.querySelectorAll("*")].indexOf(one);
              const seen = look.outlineStyle !== "none" && one.checkVisibility();
              const label = one.getAttribute("aria-label") || one.textContent.trim() || "-";
              return [place, seen ? label : "UNSEEN " + label];
            }"""
        )
        if reached and one[0] <= reached[-1][0]:
            break
        reached.append((one[0], one[1]))
    labels = [label for _, label in reached]
    assert labels[0] == "Skip to the findings"
    assert [one for one in labels if one.startswith("UNSEEN") or one == "-"] == []
    for wanted in ("Dark", "Filter rows", "Enlarge: Figure, Spectrum", "Download the JSON"):
        assert wanted in labels
    focusable = page.locator("a, button, input, [tabindex='0']").filter(visible=True).count()
    assert len(reached) == focusable


def test_what_can_be_used_has_a_name(reader: Reader) -> None:
    page = reader.open()
    for role in ("button", "link", "searchbox", "region", "img"):
        nameless = page.get_by_role(role, name=re.compile(r"^\s*$"))  # pyright: ignore[reportArgumentType]
        assert page.get_by_role(role).count() > 0  # pyright: ignore[reportArgumentType]
        assert nameless.count() == 0
    assert page.locator("table.data th:not([scope])").count() == 0
    levels = page.locator("h1, h2, h3").evaluate_all("(all) => all.map((one) => +one.tagName[1])")
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))


def test_links_lead_into_the_page(reader: Reader) -> None:
    page = reader.open()
    for link in page.locator(".links a").all():
        link.click()
        target = page.locator(link.get_attribute("href") or "none")
        box = target.bounding_box()
        assert box is not None
        assert box["y"] < 600
    assert page.locator("a:not([href^='#'])").count() == 0


# --- without scripts, on paper, under attack ----------------------------------------------------


def test_it_is_read_without_scripts(reader: Reader, document: dict[str, Any]) -> None:
    page = reader.open(scripts=False)
    text = page.locator("body").inner_text()
    for name in document["answer"]["sections"]:
        assert name.lower() in text.lower()
    assert "2.weight" in text
    assert page.locator("button:visible, input:visible, canvas").count() == 0
    pixels = imread(BytesIO(page.screenshot()))[..., :3]
    assert (abs(pixels - pixels[5, 5]) > 0.2).any(-1).mean() > 0.01
    relief = page.locator('.live[data-live="relief"] > svg').first
    still = imread(BytesIO(relief.screenshot()))[..., :3]
    assert len({tuple(colour) for colour in (still[::7, ::7].reshape(-1, 3) * 15).round()}) > 30


def test_it_is_printed_whole(reader: Reader) -> None:
    page = reader.open(scheme="dark")
    page.locator("figure.table.many input").first.fill("no such row")
    pdf = page.pdf(format="A4")
    assert pdf.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) >= 8
    page.set_viewport_size({"width": PAPER, "height": 1000})
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert cut(page) == []
    assert page.locator("tbody tr:not(:visible)").count() == 0
    assert page.locator(".enlarge:visible, input:visible, nav:visible").count() == 0


def cut(page: Page) -> list[str]:
    """Return what is shown in part only, or reaches beyond the paper."""
    return page.evaluate(
        """() => [...document.querySelectorAll(".scroll, pre, table, svg, p, dl, li")]
          .filter((one) => one.checkVisibility())
          .filter((one) => {
            const box = one.getBoundingClientRect(), clips = getComputedStyle(one).overflowX;
            const hides = clips !== "visible" && one.scrollWidth > one.clientWidth + 1;
            return box.right > innerWidth + 1 || hides;
          })
          .map((one) => one.getAttribute("aria-label") || one.textContent.trim().slice(0, 50))
        """
    )


def test_hostile_strings_are_inert(whole: Report, chromium: Browser, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(render_html(poisoned(whole)), encoding="utf-8")
    reader = Reader(chromium, path)
    page = reader.open()
    page.on("dialog", lambda dialog: reader.complaints.append(dialog.message))
    assert page.locator("main img, main script:not([type]), main iframe, main object").count() == 0
    assert page.evaluate("[...document.scripts].filter((one) => !one.type).length") == 2
    handlers = page.evaluate(
        """() => [...document.querySelectorAll("*")]
          .flatMap((one) => [...one.attributes])
          .filter((one) => one.name.startsWith("on")).length"""
    )
    assert handlers == 0
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(251, 251, 250)"
    assert page.evaluate("document.documentElement.scrollWidth") == 1280
    text = page.locator("main").inner_text()
    assert "<img src=x onerror=alert(1)>" in text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", text)
    page.locator("#weights table.data th button").first.click()
    page.get_by_role("button", name=re.compile("^Enlarge")).first.click()
    page.keyboard.press("Escape")
    reader.close()
    reader.check_innocent()
