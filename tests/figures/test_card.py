"""What a notebook shows: summary, picture and tables; names from files stay text."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

import landscape as ls
from landscape.answer import Result, Table
from landscape.figures.canvas import overlay
from landscape.figures.card import ROWS, card
from tests.figures.test_figures import Answer, norms

HOSTILE = [
    '<img src=x onerror="alert(1)">',
    "</td></table></figure><script>alert(1)</script>",
    "\"'><svg onload=alert(1)>",
    "&lt;b&gt; &amp;",
    "\x1b[31mred\x07",
    "a\u202egnp.exe",
    "${7*7} {{7*7}} [/red]",
    "x" * 5000,
]
DRAWN = {"svg", "g", "path", "defs", "use", "clippath", "rect", "image", "text", "tspan"}
LAID = {"figure", "figcaption", "details", "summary", "div", "table", "tr", "th", "td"}


class Page(HTMLParser):
    """The tags, attributes and texts of a piece of HTML, as a browser reads them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def is_inert(self) -> bool:
        known = set(self.tags) <= DRAWN | LAID
        quiet = not any(name.startswith("on") for name, _ in self.attributes)
        inside = all(
            str(value).startswith("#") for name, value in self.attributes if name.endswith("href")
        )
        return known and quiet and inside


def shown(table: Table, summary: str = "an answer") -> Page:
    return Page(card(summary, overlay([Answer(norms(2))], [None]), [table]))


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_names_are_text(name):
    page = shown(Table(name, (name, "value"), ((name, 1.5),)), summary=name)
    assert page.is_inert()
    assert page.tags["table"] == page.tags["figure"] == 1
    assert page.tags["tr"] == page.tags["td"] == 2
    text = "".join(page.texts)
    assert not {"\x1b", "\x07", "\u202e"} & set(text)
    if name.isprintable() and len(name) < 60:
        assert page.texts.count(name) >= 4  # summary, title, column, cell: as it is written


def test_every_cell_is_there():
    rows = (("first", 1234567, 0.123456, True, None), ("second", 2, float("inf"), False, None))
    page = shown(Table("Things", ("name", "count", "share", "odd", "none"), rows))
    for cell in ("first", "1,234,567", "0.1235", "yes", "second", "inf", "no"):
        assert cell in page.texts
    assert page.tags["td"] == 10


def test_a_long_table_says_what_is_left_out():
    rows = tuple((f"layer {i}", i) for i in range(ROWS + 7))
    page = shown(Table("Layers", ("name", "i"), rows))
    assert page.tags["tr"] == ROWS + 1
    assert any("7 rows more" in text for text in page.texts)


@pytest.fixture
def answer(tmp_path: Path) -> Result:
    """The weights of two checkpoints whose tensors have hostile names."""
    for step in (1, 2):
        state = {name: torch.full((3, 2), float(step)) for name in HOSTILE}
        torch.save(state, tmp_path / f"<b>{step}.pt")
    paths = [tmp_path / f"<b>{step}.pt" for step in (1, 2)]
    return ls.Weights().run(ls.Subject(checkpoints=paths))


def test_an_answer_shows_picture_and_tables(answer):
    page = Page(answer._repr_html_())
    assert page.is_inert()
    assert page.tags["svg"] == 1
    assert page.tags["table"] == len(answer.tables()) > 0
    assert any(answer.tables()[0].title in text for text in page.texts)
    assert HOSTILE[0] in page.texts


def test_the_bundle_has_text_beside_the_page(answer):
    bundle = answer._repr_mimebundle_(include=None, exclude=None)
    assert bundle["text/html"] == answer._repr_html_()
    assert "\x1b" not in bundle["text/plain"]
    assert len(bundle["text/plain"]) < 1000


def test_a_report_is_a_page_of_its_own(answer):
    from landscape.reports.report import Report

    bundle = Report.of(answer)._repr_mimebundle_()
    page = Page(bundle["text/html"])
    assert dict(page.tags) == {"iframe": 1}
    assert "\x1b" not in bundle["text/plain"]
    inside = Page(str(dict(page.attributes)["srcdoc"]))
    assert inside.tags["svg"] >= 1
    assert inside.tags["table"] >= 1
    assert "img" not in inside.tags
    assert "b" not in inside.tags
