from __future__ import annotations

import base64
import dataclasses
import gzip
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from landscape.answer import Table
from landscape.diagnostics import DIAGNOSTICS
from landscape.reports.glossary import GLOSSARY
from landscape.reports.html import render_html, script_hash
from landscape.reports.report import Report, Skipped
from landscape.reports.series import pictures_of
from landscape.reports.template import environment, packaged

STANDING, NOISE = "Stability and kind of point", "Gradient noise"
VOID = {"meta", "br", "img", "input", "link", "hr"}


class Page(HTMLParser):
    """What a browser would see: elements, attributes, scripts, balanced tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.scripts: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, key, value or "") for key, value in attrs]
        self.ids += [value or "" for key, value in attrs if key == "id"]
        if tag == "script":
            self.scripts.append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data


def unpacked(island: str) -> Any:
    return json.loads(gzip.decompress(base64.b64decode(island)))


@pytest.fixture(scope="module")
def page(several: Report) -> str:
    return render_html(several.to_json())


def test_policy_admits_exactly_the_inline_script(page: str) -> None:
    island, script = Page(page).scripts
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    assert f"script-src '{script_hash(script)}'" in policy[1]
    assert policy[1].startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")
    assert re.fullmatch(r"[A-Za-z0-9+/=]+", island)


def test_island_is_the_document(several: Report, page: str) -> None:
    assert unpacked(Page(page).scripts[0]) == several.to_json()


def test_page_is_a_pure_function_of_the_document(several: Report, page: str) -> None:
    assert render_html(json.loads(json.dumps(several.to_json()))) == page


def test_page_refers_to_nothing_outside(page: str) -> None:
    seen = Page(page)
    assert not {"link", "img", "iframe", "object", "base", "form"} & set(seen.tags)
    places = [v for _, key, v in seen.attributes if key in ("href", "src", "xlink:href", "action")]
    assert places
    assert all(place.startswith("#") for place in places)
    assert not re.search(r"https?:|@import|url\((?!#)", page)


def test_markup_is_sound(page: str) -> None:
    seen = Page(page)
    assert seen.open == []
    assert len(seen.ids) == len(set(seen.ids))
    targets = {v[1:] for _, key, v in seen.attributes if key in ("href", "xlink:href")}
    targets |= {v for _, key, v in seen.attributes if key == "aria-labelledby"}
    assert targets <= set(seen.ids)
    assert not any(key.startswith("on") for _, key, _ in seen.attributes)


def test_order_of_the_page(page: str) -> None:
    headings = [re.sub(r"<[^>]*>", "", text) for text in re.findall(r"<h2[^>]*>(.*?)</h2>", page)]
    assert headings == [
        "Findings",
        "Trust",
        "Convergence: can it train?",
        "Speed: how fast?",
        "Global quality: how good is the place it found?",
        "Weights",
        "Reproduce",
    ]


def test_everything_is_told(several: Report, page: str) -> None:
    for text in ("first.pt", "last.pt", "surface", "another checkpoint", "lipschitz", "L600"):
        assert text in page
    for section in several.sections:
        assert all(key.split(" ")[0] in page for key, _ in section.result.trust())
    assert "landscape report last.pt" in page
    assert "Hutchinson 1990" in page
    assert page.count("<svg") == sum(1 + len(pictures_of(s.result)) for s in several.sections)


@pytest.mark.usefixtures("blank")
def test_unsettled_numbers_are_marked(one: Report) -> None:
    document = one.to_json()
    document["answer"]["sections"]["spectrum"]["answer"]["trace"]["status"] = "budget_spent"
    assert '<span class="unsettled">budget spent</span>' in render_html(document)


def test_hostile_strings_stay_text(hostile: dict[str, Any], page: str) -> None:
    attacked = render_html(hostile)
    seen, calm = Page(attacked), Page(page)
    assert set(seen.tags) <= set(calm.tags) | {"ul", "li"}
    assert not any(key.startswith("on") for _, key, _ in seen.attributes)
    assert len(seen.scripts) == 2
    assert seen.scripts[1] == calm.scripts[1]
    assert unpacked(seen.scripts[0]) == hostile
    assert "<img" not in attacked
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\u2028\u2029]", attacked)


@pytest.mark.usefixtures("blank")
def test_long_names_are_cut_in_the_middle(one: Report) -> None:
    document = one.to_json()
    tensor = document["answer"]["sections"]["weights"]["answer"]["tensors"][0]
    tensor["name"] = "a" * 400 + "b" * 400
    page = render_html(document)
    assert f">{'a' * 59}…{'b' * 60}<" in page


@pytest.mark.usefixtures("blank")
def test_a_question_without_sections_says_what_would_fill_it(one: Report) -> None:
    alone = dataclasses.replace(one, sections=one.sections[-1:], provenance={})
    page = render_html(alone.to_json())
    assert "Would be answered by gradients" in page
    assert "Would be answered by spectrum" in page


@pytest.mark.usefixtures("blank")
def test_what_was_refused_is_not_called_unasked(one: Report) -> None:
    left = Skipped("ntk", "no data", "--data"), Skipped("connect", "no", "others", refused=True)
    page = render_html(dataclasses.replace(one, skipped=left).to_json())
    refused, asked = page.index('<h3 class="sub">Refused'), page.index("Not asked</h3>")
    assert refused < page.index("<strong>Connect</strong>") < asked
    assert asked < page.index("<strong>NTK</strong>")
    assert "Refused" not in render_html(one.to_json())


@pytest.mark.usefixtures("blank")
def test_held_out_data_stand_in_the_header(one: Report) -> None:
    document = one.to_json()
    assert "held out:" not in render_html(document)
    document["provenance"]["held_out_samples"] = 1300
    head = render_html(document).partition("</header>")[0]
    assert "held out: 1,300 samples" in head


@pytest.mark.usefixtures("blank")
def test_tables_of_another_question_stand_under_it(one: Report) -> None:
    page = render_html(one.to_json())
    places = [page.index(f'id="{key}"') for key in ("convergence", "speed", "quality")]
    standing, noise = (page.index(f"<figcaption>{name}") for name in (STANDING, NOISE))
    assert places[0] < standing < places[1] < noise < places[2]
    for name in (STANDING, NOISE):
        assert page.count(f"<figcaption>{name}</figcaption>") == 1


@pytest.mark.parametrize(
    ("caption", "shown"),
    [
        ("trace by layer", "Trace by layer"),
        ("λ₁ of the Hessian", "λ₁ of the Hessian"),
        ("n parameters", "n parameters"),
        ("fc1.weight by row", "fc1.weight by row"),
        ("", ""),
    ],
)
def test_a_caption_begins_with_a_capital_where_it_begins_with_a_word(
    caption: str, shown: str
) -> None:
    assert environment().filters["opened"](caption) == shown
    assert "first-letter" not in packaged("style.css")


@pytest.mark.usefixtures("blank")
def test_folders_are_left_out_of_titles(one: Report) -> None:
    document = one.to_json()
    document["provenance"] |= {"model": "/a/b/net.py:make", "data": "DataLoader of /a/b/d.py:data"}
    page = render_html(document)
    assert '<h1 title="/a/b/net.py:make">net.py:make</h1>' in page
    assert '<dd title="DataLoader of /a/b/d.py:data">DataLoader of d.py:data<' in page


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("‖W‖_F = (Σ w²)^½", "‖W‖<sub>F</sub> = (Σ w²)<sup>½</sup>"),
        ("P^(−½) H", "P<sup>−½</sup> H"),
        ("‖G‖_*²", "‖G‖<sub>*</sub>²"),
        ("σ_w² E", "σ<sub>w</sub>² E"),
        ("<b> & λ_max", "&lt;b&gt; &amp; λ<sub>max</sub>"),
    ],
)
def test_formulae_are_set(text: str, shown: str) -> None:
    assert environment().filters["formula"](text) == shown


def test_a_table_that_is_too_wide_for_half_the_page_takes_all_of_it() -> None:
    wide = environment().tests["wide"]
    assert not wide(Table("", ("layer", "norm"), (("0.weight", 1.0),)))
    assert not wide(Table("", ("layer",), ()))
    assert wide(Table("", ("layer", "reason", "other"), (("a" * 24, "b " * 40, "c" * 10),)))


@pytest.mark.usefixtures("blank")
def test_nested_provenance_is_told_in_rows(one: Report) -> None:
    document = one.to_json()
    document["provenance"]["sources"] = {"model": {"file": "net.py", "sha256": "abc"}}
    page = render_html(document)
    assert "<dt>sources: model: file</dt><dd>net.py</dd>" in page
    assert "{" not in page.partition('class="provenance"')[2].partition("</dl>")[0]


@pytest.mark.usefixtures("blank")
def test_one_answer_can_be_rendered(one: Report) -> None:
    assert "Speed: how fast?" in render_html(one.sections[1].result.to_json())


def test_terms_are_explained_once() -> None:
    names = [term.name for term in GLOSSARY]
    assert len(names) == len(set(names))
    assert {one for term in GLOSSARY for one in term.sections} <= {d.name for d in DIAGNOSTICS}


def test_size(page: str) -> None:
    assert len(page.encode()) < 450_000
