"""Places in documents: how they are written, what stands there, and the nearest of others."""

from __future__ import annotations

import pytest

from landscape.comparison.places import EVERY, matches, parse, resolve, told
from landscape.errors import InputError, SettingError
from tests.comparison.documents import number, report, spectrum


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("trace", ("trace",)),
        ("spectrum.eigenvalues.top[0]", ("spectrum", "eigenvalues", "top", 0)),
        ("top[-1].x", ("top", -1, "x")),
        ("layers[*].trace", ("layers", EVERY, "trace")),
        ('quantiles["0.5"]', ("quantiles", "0.5")),
        ('layers["a.b[0]"].trace', ("layers", "a.b[0]", "trace")),
        ("tickets-eval.verdict", ("tickets-eval", "verdict")),
    ],
)
def test_parts(text, parts):
    assert parse(text) == parts
    assert parse(told(parts)) == parts


@pytest.mark.parametrize("text", ["", ".", "a..b", "a.", "a[", "a[x]", "a[0", "[0]]", 'a["x', ".a"])
def test_what_is_no_place(text):
    with pytest.raises(SettingError):
        parse(text)


def values(document, text):
    return {one.place: one.value for one in resolve(document, parse(text))}


def test_in_one_answer_with_and_without_its_name():
    document = spectrum(number(41, 2))
    expected = {"eigenvalues.top[0]": number(41, 2)}
    assert values(document, "eigenvalues.top[0]") == expected
    assert values(document, "spectrum.eigenvalues.top[0]") == expected


def test_in_a_report():
    document = report(spectrum=spectrum())
    assert values(document, "spectrum.operator") == {"spectrum.operator": "hessian"}
    assert values(document, "skipped[0].section") == {"skipped[0].section": "connect"}


def test_members_by_name_and_all_of_them():
    document = spectrum()
    assert values(document, 'layers["stem"].parameters') == {"layers.stem.parameters": 10}
    assert list(values(document, "layers[*].parameters").values()) == [10, 20]
    assert values(document, 'quantiles["0.5"]') == {'quantiles["0.5"]': 1.25}


def test_of_a_series_the_last_unless_it_is_said():
    first, last = (spectrum(loss=number(x))["answer"] for x in (3.0, 1.0))
    document = {**spectrum(), "answer": {"series": [first, last]}}
    assert values(document, "loss")["series[-1].loss"]["value"] == 1.0
    assert values(document, "series[0].loss")["series[0].loss"]["value"] == 3.0
    inside = report(spectrum=document)
    assert [one["value"] for one in values(inside, "spectrum.loss").values()] == [1.0]
    assert len(values(inside, "spectrum.series[*].loss")) == 2


def test_the_whole_answer_has_the_status_of_its_document():
    (found,) = resolve(report(spectrum=spectrum()), parse("spectrum"))
    assert found.value["status"] == "converged"
    assert found.value["operator"] == "hessian"


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("spectrum.eigenvalue.top[0]", "spectrum.eigenvalues.top[0]"),
        ("spectrum.eigenvalues.top[7]", "spectrum.eigenvalues.top[1]"),
        ("spectrun.loss", "spectrum.loss"),
        ('spectrum.layers["stam"].trace', "spectrum.layers.stem.trace"),
    ],
)
def test_the_nearest_place_is_named(text, nearest):
    with pytest.raises(SettingError) as caught:
        resolve(report(spectrum=spectrum()), parse(text))
    assert nearest in caught.value.hint
    assert caught.value.exit == 2


@pytest.mark.parametrize(
    ("text", "why"), [("connect.verdict", "skipped: one"), ("ntk.trace", "failed: memory")]
)
def test_a_section_that_is_not_there_says_why(text, why):
    with pytest.raises(SettingError) as caught:
        resolve(report(spectrum=spectrum()), parse(text))
    assert why in caught.value.why


def test_a_failure_holds_no_answer():
    with pytest.raises(InputError, match="holds no answer") as caught:
        resolve({"schema": "landscape/error/1", "what": "no such file"}, parse("loss"))
    assert caught.value.why == "no such file"


def test_patterns():
    assert matches(parse("pairs[*].paths[*].barrier.loss"), ("pairs", 0, "paths", "line", "barrier",
                                                             "loss"))  # fmt: skip
    assert not matches(parse("loss"), ("layers", "loss"))
    assert not matches(parse("loss"), ("loss", "value"))
    assert not matches(parse("layers[*].loss"), ("layers", 0))
