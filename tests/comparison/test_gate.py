"""Rules: the whole interval passes, the whole interval fails, anything between is undecided."""

from __future__ import annotations

import math
import re
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest

from landscape.comparison.gate import Gate, Outcome, gate
from landscape.comparison.junit import to_junit
from landscape.comparison.rules import read_rules, rules_of
from landscape.errors import InputError, SettingError
from tests.comparison.documents import number, spectrum, unconverged

PASSED, FAILED, UNDECIDED = Outcome.PASSED, Outcome.FAILED, Outcome.UNDECIDED


def outcome(document, path, **conditions) -> Outcome:
    return gate(document, rules_of({path: conditions})).outcome


@pytest.mark.parametrize(
    ("top", "conditions", "expected"),
    [
        (number(40, 3), {"max": 50}, PASSED),
        (number(40, 3), {"max": 43}, PASSED),  # the end of the interval is inside
        (number(40, 3), {"max": 42}, UNDECIDED),
        (number(40, 3), {"max": 37}, UNDECIDED),
        (number(40, 3), {"max": 36}, FAILED),
        (number(40, 3), {"min": 37}, PASSED),
        (number(40, 3), {"min": 38}, UNDECIDED),
        (number(40, 3), {"min": 44}, FAILED),
        (number(40, 3), {"min": 30, "max": 50}, PASSED),
        (number(40, 3), {"min": 41, "max": 36}, FAILED),
        (number(40), {"equals": 40}, PASSED),
        (number(40), {"equals": 41}, FAILED),
        (number(40, 3), {"equals": 40}, UNDECIDED),
        (number(40, 3), {"equals": 50}, FAILED),
        (unconverged(40, 3), {"max": 50}, UNDECIDED),
        (unconverged(40, 3), {"max": 1}, UNDECIDED),
        (number(math.nan, 1), {"max": 50}, UNDECIDED),
        (number(40, math.inf), {"max": 50}, UNDECIDED),
        (number(40, 3), {"status": "converged"}, PASSED),
        (unconverged(40, 3), {"status": "converged"}, UNDECIDED),
    ],
)
def test_numbers(top, conditions, expected):
    assert outcome(spectrum(top), "eigenvalues.top[0]", **conditions) is expected


@pytest.mark.parametrize(
    ("path", "conditions", "expected"),
    [
        ("operator", {"equals": "hessian"}, PASSED),
        ("operator", {"equals": "fisher"}, FAILED),
        ("operator", {"max": 3}, FAILED),
        ("complete", {"equals": True}, PASSED),
        ("complete", {"equals": False}, FAILED),
        ("complete", {"equals": "true"}, FAILED),
        ("layers[*].parameters", {"max": 20}, PASSED),
        ("layers[*].parameters", {"max": 19}, FAILED),
        ("stability", {"max": 1}, UNDECIDED),
        ("spectrum", {"status": "converged"}, PASSED),
        ("pair", {"verdict": "connected"}, UNDECIDED),
        ("pair", {"verdict": "inconclusive"}, PASSED),
        ("operator", {"verdict": "connected"}, FAILED),
    ],
)
def test_everything_else(path, conditions, expected):
    document = spectrum(stability=None, pair={"verdict": "inconclusive"})
    assert outcome(document, path, **conditions) is expected


def test_a_barrier_fails():
    assert outcome(spectrum(pair={"verdict": "barrier"}), "pair", verdict="connected") is FAILED


@pytest.mark.parametrize(
    ("bounds", "code"), [((50, 10), 0), ((50, 8.5), 7), ((42, 10), 7), ((42, 7), 1), ((50, 7), 1)]
)
def test_exit_codes(bounds, code):
    """Any failure is 1, else anything undecided is 7."""
    rules = rules_of(
        {"eigenvalues.top[0]": {"max": bounds[0]}, "eigenvalues.top[1]": {"max": bounds[1]}}
    )
    assert gate(spectrum(), rules).exit_code == code


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({}, "no rule"),
        ({"loss": 3}, "no conditions"),
        ({"loss": {}}, "no conditions"),
        ({"loss": {"maximum": 3}}, "the nearest is max"),
        ({"spectrum": {"loss": {"max": 3}}}, "in quotes"),
        ({"loss": {"max": "3"}}, "finite number"),
        ({"loss": {"max": True}}, "finite number"),
        ({"loss": {"max": math.nan}}, "finite number"),
        ({"loss": {"max": 10**400}}, "finite number"),
        ({"loss": {"equals": [1]}}, "a number, a string"),
        ({"loss": {"status": "fine"}}, "one of converged"),
        ({"loss": {"status": ["converged"]}}, "one of converged"),
        ({"lo..ss": {"max": 1}}, "names no place"),
    ],
)
def test_rules_that_are_none(document, told):
    with pytest.raises(SettingError) as caught:
        rules_of(document)
    assert told in str(caught.value)


def test_rules_from_a_file(tmp_path):
    file = tmp_path / "rules.toml"
    file.write_text('"spectrum.eigenvalues.top[0]" = {max = 50, min = 1}\n["loss"]\nequals = 0.5\n')
    assert [one.told for one in read_rules(file)[0]] == ["max = 50", "min = 1", "equals = 0.5"]
    file.write_text("max = = 3")
    with pytest.raises(SettingError, match="is not TOML"):
        read_rules(file)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not UTF-8"):
        read_rules(file)
    with pytest.raises(InputError, match="No such file"):
        read_rules(tmp_path / "absent.toml")


def test_the_document_follows_its_schema():
    document = gate(spectrum(), rules_of({"loss": {"max": 1, "min": 1}})).to_json()
    jsonschema.Draft202012Validator(Gate.schema()).validate(document)
    assert document["status"] == "failed"
    assert document["message"] == "1 passed, 1 failed."


HOSTILE = '"><script>alert(1)</script>&\x00\x1b[31m\ud800\ufffe]]>'


def test_junit_is_well_formed_and_inert():
    layers = [{"name": HOSTILE, "verdict": HOSTILE, "trace": number(5, 1)}]
    document = spectrum(layers=layers)
    rules = rules_of(
        {
            "layers[*].trace": {"max": 1, "min": 4.5},
            "layers[*].verdict": {"equals": "fine"},
            "loss": {"max": 1},
        }
    )
    text = to_junit(gate(document, rules, source=HOSTILE))
    root = ElementTree.fromstring(text.encode())
    assert "script" not in {one.tag for one in root.iter()}
    assert "\x1b" not in text
    (suite,) = root
    assert suite.attrib | {"name": ""} == {
        "name": "", "tests": "4", "failures": "2", "errors": "1", "skipped": "0", "time": "0",
    }  # fmt: skip
    kinds = [[one.tag for one in case] for case in suite]
    assert kinds == [["failure"], ["error"], ["failure"], []]
    assert all("<script>alert(1)</script>" in case.get("name", "") for case in suite[:2])


def test_the_rules_of_the_readme_are_rules():
    text = (Path(__file__).resolve().parents[2] / "README.md").read_text("utf-8")
    (block,) = re.findall(r"^```toml\n(\"spectrum.*?)^```", text, re.M | re.S)
    assert [one.key for one in rules_of(tomllib.loads(block))] == [
        "max",
        "status",
        "verdict",
        "min",
    ]
