"""`landscape check`: rules from TOML, exit codes, JUnit, one document."""

from __future__ import annotations

import json
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest

from landscape.comparison.gate import Gate
from tests.cli.command import Outcome, piped, run
from tests.comparison.documents import number, report, spectrum

TOP = "eigenvalues.top[0]"  # 40 ± 3


@pytest.fixture
def check(tmp_path):
    def command(rules: str, more: str = "", document=None) -> Outcome:
        (tmp_path / "rules.toml").write_text(rules)
        (tmp_path / "a.json").write_text(json.dumps(document or spectrum()))
        return run(f"check {tmp_path}/a.json --rules {tmp_path}/rules.toml {more}")

    return command


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        (f'"{TOP}" = {{max = 50}}', 0),
        (f'"spectrum.{TOP}" = {{max = 50, status = "converged"}}', 0),
        (f'"{TOP}" = {{max = 30}}', 1),
        (f'"{TOP}" = {{max = 41}}', 7),
        (f'"{TOP}" = {{max = 41}}\n"loss" = {{max = 0.1}}', 1),
        ('"eigenvalue.top[0]" = {max = 50}', 2),
        (f'"{TOP}" = {{maximum = 50}}', 2),
        ("spectrum.eigenvalues = {max = 50}", 2),
        ("", 2),
        ("max = = 3", 2),
    ],
)
def test_exit_codes(check, rules, code):
    outcome = check(rules)
    assert outcome.code == code, outcome.stdout + outcome.stderr
    if code == 2:
        assert not outcome.stdout
        assert outcome.stderr.startswith("error[L200]")
    else:
        assert outcome.stdout.splitlines()[-1].split(":")[0] in ("passed", "failed", "undecided")


def test_the_nearest_place_is_named(check):
    told = check('"spectrum.eigenvalue.top[0]" = {max = 50}', document=report(spectrum=spectrum()))
    assert "next: the nearest is spectrum.eigenvalues.top[0]" in told.stderr


def test_a_report(check):
    document = report(spectrum=spectrum())
    assert check(f'"spectrum.{TOP}" = {{max = 50}}', document=document).code == 0
    assert check('"connect.verdict" = {verdict = "connected"}', document=document).code == 2


def test_one_document_under_json(check, tmp_path):
    outcome = check(f'"{TOP}" = {{max = 41}}', "--json")
    jsonschema.Draft202012Validator(Gate.schema()).validate(outcome.document)
    assert outcome.document["status"] == "undecided"
    assert outcome.document["seed"] == 0
    assert outcome.document["cost"]["seconds"] > 0
    provenance = outcome.document["provenance"]
    assert provenance["batches_hash"] == "data"  # of the document
    assert provenance["checked_by"]["command"].startswith("landscape check ")
    assert provenance["checked_by"]["landscape"] == version("landscape")
    assert provenance["checked_by"]["files"] == {
        str(tmp_path / one): sha256((tmp_path / one).read_bytes()).hexdigest()
        for one in ("a.json", "rules.toml")
    }
    (one,) = outcome.document["answer"]["checks"]
    assert (one["path"], one["rule"], one["outcome"]) == (TOP, "max = 41", "undecided")
    assert one["value"] == number(40, 3)
    missing = check('"nowhere" = {max = 1}', "--json").document
    assert (missing["schema"], missing["exit"]) == ("landscape/error/1", 2)


def test_what_is_read_once_is_hashed(check, tmp_path):
    check(f'"{TOP}" = {{max = 50}}')
    held, rules = (piped(tmp_path / name) for name in ("a.json", "rules.toml"))
    files = run(f"check {held} --rules {rules} --json").document["provenance"]["checked_by"][
        "files"
    ]
    assert list(files.values()) == [
        sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("a.json", "rules.toml")
    ]


def test_junit(check, tmp_path):
    file = tmp_path / "out" / "rules.xml"
    outcome = check(f'"{TOP}" = {{max = 41}}\n"loss" = {{max = 0.1}}', f"--junit {file}")
    assert outcome.code == 1
    suite = ElementTree.parse(file).getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("2", "1", "1")
    again = check(f'"{TOP}" = {{max = 50}}', f"--junit {file}")
    assert again.code == 3
    assert "--force" in again.stderr
    assert check(f'"{TOP}" = {{max = 50}}', f"--junit {file} --force").code == 0


HOSTILE = '"><script>\x1b[31m[red]\u202e'


def test_hostile_names_are_inert(check, tmp_path):
    document = spectrum(layers=[{"name": HOSTILE, "trace": number(5, 1)}])
    file = tmp_path / "rules.xml"
    outcome = check('"layers[*].trace" = {max = 1}', f"--junit {file}", document)
    assert outcome.code == 1
    assert "\x1b" not in outcome.stdout
    assert "\u202e" not in outcome.stdout
    assert "[red]" in outcome.stdout
    ElementTree.parse(file)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("not json", 3),
        ("[1, 2]", 3),
        ('{"schema": "landscape/error/1", "what": "x"}', 3),
        ('{"schema": "landscape/spectrum/5", "answer": 3}', 3),
        ('{"schema": "landscape/spectrum/5", "answer": {"loss": {"value": "x", "kind": 1,'
         ' "interval": 3, "status": "converged"}}}', 3),
        ('{"schema": "landscape/report/1", "answer": {"sections": {"loss": 3}}}', 3),
    ],
)  # fmt: skip
def test_damaged_documents(tmp_path, text, code):
    (tmp_path / "a.json").write_text(text)
    (tmp_path / "rules.toml").write_text('"loss" = {max = 1}')
    outcome = run(f"check {tmp_path}/a.json --rules {tmp_path}/rules.toml")
    assert outcome.code == code, outcome.stderr
    assert outcome.stderr.startswith("error[L3")


@pytest.mark.parametrize("loss", [{**number(1), "value": 10**400}, 10**400])
def test_an_integer_that_no_float_holds(check, loss):
    outcome = check('"loss" = {max = 50}', document=spectrum(loss=loss))
    assert outcome.code == 3
    assert "is damaged: OverflowError" in outcome.stderr


def test_files_that_are_not_there(tmp_path):
    assert run(f"check {tmp_path}/a.json --rules {tmp_path}/rules.toml").code == 3
    (tmp_path / "rules.toml").write_text('"loss" = {max = 1}')
    assert run(f"check {tmp_path}/a.json --rules {tmp_path}/rules.toml").code == 3
    assert run(f"check {tmp_path}/a.json").code == 2


def test_the_help_shows_a_rule():
    text = run("check --help").stdout
    assert '"spectrum.eigenvalues.top[0]" = {max = 50}' in " ".join(text.split())
    assert "Example: landscape check" in text
    assert Path("rules.toml").name in text
