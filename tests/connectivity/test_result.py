"""What an answer on connectivity says, on answers made by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import get_args

import jsonschema
import numpy as np
import pytest
from matplotlib.figure import Figure

from landscape.answer import Finding, Severity, Table
from landscape.connectivity.result import ConnectResult, status_of
from landscape.estimate import Estimate, Status
from landscape.reports.series import pictures_of
from tests.connectivity.made import (
    ALIGNED,
    CURVE,
    LINE,
    RESULTS,
    many,
    pair,
    path,
    refused,
    result,
)

CELLS = (str, int, float, bool, Estimate, type(None))


@pytest.fixture(params=RESULTS)
def made(request) -> ConnectResult:
    return RESULTS[request.param]


# --- the rule ----------------------------------------------------------------------------------


def test_exit_codes():
    """Any barrier: 1; else any undecided: 7; else 0."""
    yes, no = pair("a", "b", line=CURVE), pair("a", "c", line=LINE)
    perhaps, never = pair("b", "c", line=ALIGNED), refused("a", "d")
    assert result(yes).exit_code == 0
    assert result(yes, no).exit_code == 1
    assert result(perhaps).exit_code == 7
    assert result(yes, never).exit_code == 7
    assert result(perhaps, never, no).exit_code == 1


def test_status():
    assert status_of((pair(line=LINE),)) == (Status.CONVERGED, "")
    status, message = status_of((pair(line=CURVE), pair(line=ALIGNED)))
    assert status is Status.CONVERGED
    assert message.startswith("a.pt – b.pt: ")
    broken = replace(LINE, loss=np.where(LINE.t == 0.5, np.inf, LINE.loss))
    status, message = status_of((pair(line=broken),))
    assert status is Status.CONVERGED  # a barrier, and an answer
    ended = replace(LINE, loss=np.where(LINE.t == 1, np.nan, LINE.loss))
    status, message = status_of((pair(line=ended),))
    assert status is Status.NOT_FINITE
    assert "end of a.pt – b.pt" in message


def test_the_best_path():
    assert pair(line=LINE, aligned=ALIGNED).best is ALIGNED
    assert pair(line=LINE, aligned=ALIGNED, curve=CURVE).best is CURVE
    assert refused("a", "b").best is None
    low = path(-0.2, "barrier")
    assert pair(line=LINE, repaired=low).best is LINE


def test_components_and_their_doubt():
    answer = many()
    parts = {frozenset(part) for part in answer.components}
    chain = {f"runs/{i}/final.pt" for i in range(3)}
    assert parts == {
        frozenset(chain),
        frozenset(["runs/3/final.pt"]),
        frozenset(["runs/4/final.pt"]),
    }
    assert answer.whole == (False, True, True)
    assert answer.fewest == 2
    assert "components at the tolerance: 2 to 3" in answer.summary()
    assert any("not connected directly" in one.sentence for one in answer.findings())


# --- the document ------------------------------------------------------------------------------


def test_json(made):
    document = made.to_json()
    text = json.dumps(document, allow_nan=False)
    again = ConnectResult.from_json(json.loads(text))
    assert again.to_json() == document
    assert repr(again.tables()) == repr(made.tables())
    schema = ConnectResult.schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document, schema, cls=jsonschema.Draft202012Validator)


def test_what_scripts_rely_on():
    document = RESULTS["three paths"].to_json()["answer"]
    (one,) = document["pairs"]
    assert {"a", "b", "verdict", "by", "tolerance", "paths"} <= set(one)
    assert (one["verdict"], one["by"]) == ("connected", "curve")
    assert one["tolerance"] == {"loss": 0.1, "error": 0.02}
    assert list(one["paths"]) == ["line", "aligned", "curve"]
    for name, told in one["paths"].items():
        assert {"t", "loss", "error", "barrier", "argmax", "verdict"} <= set(told), name
        assert len(told["t"]) == len(told["loss"]) == len(told["error"]) == 25
        assert told["barrier"]["loss"]["interval"][0] <= told["barrier"]["loss"]["value"]
    (regression,) = RESULTS["regression"].to_json()["answer"]["pairs"]
    assert regression["paths"]["line"]["error"] is None
    assert regression["paths"]["line"]["barrier"]["error"] is None


# --- words and figures -------------------------------------------------------------------------


def test_it_reads_well(made):
    assert made.summary()
    assert len(made.summary().splitlines()) == 1
    assert made.caption().endswith((".", str(made.seed)))
    for table in made.tables():
        assert isinstance(table, Table)
        for row in table.rows:
            assert len(row) == len(table.columns), table.title
            assert all(isinstance(cell, CELLS) for cell in row), row
    assert made.findings() or made.declined
    for finding in made.findings():
        assert isinstance(finding, Finding)
        assert finding.severity in get_args(Severity)
        for text in (finding.sentence, finding.evidence, finding.advice):
            assert text.endswith("."), text
    assert all(all(row) for row in made.trust())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("three paths", "connected along the curve"),
        ("barrier", "a barrier on every path that was tried"),
        ("inconclusive", "do not decide"),
        ("held out", "barrier on the training data, connected on held-out data"),
        ("stale", "with interpolated BatchNorm statistics the loss would be up to 1.2 off"),
    ],
)
def test_findings(name, said):
    assert any(said in one.sentence for one in RESULTS[name].findings())


@pytest.mark.parametrize("name", ["refused", "many refused"])
def test_an_untrained_end_is_told_and_is_no_finding(name):
    made = RESULTS[name]
    assert made.findings() == ()
    assert made.headline() == ()
    assert "is not a trained network: the error of a.pt is 0.9" in made.declined
    assert RESULTS["barrier"].declined == ""


def test_quiet_where_nothing_misleads():
    assert len(RESULTS["line"].findings()) == 1


def test_numbers_in_the_tables():
    tables = {table.title: table for table in RESULTS["three paths"].tables()}
    line = dict(zip(tables["Paths"].columns, tables["Paths"].rows[0], strict=True))
    assert line["path"] == "line"
    assert line["error barrier"].value == pytest.approx(0.48)
    assert line["error barrier"].interval == pytest.approx((0.476, 0.484))
    assert set(tables) == {"Pairs", "Paths", "Barriers by definition", "Alignment"}
    explained = [table.title for table in RESULTS["line"].tables()]
    assert "What may change places" in explained


def test_one_unit_for_an_error():
    """A share everywhere, as the setting, the document and the figure have it."""
    for made in (RESULTS["three paths"], RESULTS["barrier"]):
        told = " ".join([made.summary(), *(one.evidence for one in made.findings())])
        assert "points" not in told
        assert "tolerated: 0.02)" in told
        for table in made.tables():
            assert not [name for name in table.columns if "points" in name]


def test_it_draws(made, tmp_path):
    axes = Figure().add_subplot()
    made.draw(axes, label="a label", colour="#ff0000")
    made.plot(tmp_path / "one.svg")
    made.plot(tmp_path / "two.svg")
    first, second = ((tmp_path / f"{n}.svg").read_bytes() for n in ("one", "two"))
    assert first == second
    for picture in pictures_of(made):
        assert picture.name in ConnectResult.picture_names
        assert picture.figure().axes


def test_two_answers_on_one_scale(tmp_path):
    from landscape.figures.canvas import overlay, save

    both = [RESULTS["three paths"], RESULTS["line"]]
    save(overlay(both, ["first", "second"]), tmp_path / "both.svg")
    text = (tmp_path / "both.svg").read_text()
    for part in ("first", "second", "aligned", "band"):
        assert part in text


def test_the_matrix_has_the_line_above_and_the_best_below():
    from landscape.connectivity.pictures import pairs_ink

    ink = pairs_ink(many())
    place = {name: number for number, name in enumerate(ink.names)}
    a, b = place["runs/0/final.pt"], place["runs/1/final.pt"]
    assert ink.barriers[min(a, b), max(a, b)] == pytest.approx(0.48)
    assert ink.barriers[max(a, b), min(a, b)] == pytest.approx(0.004)
    assert np.isnan(np.diag(ink.barriers)).all()
    assert ink.components == (0, 0, 0, 1, 2)
    assert ink.tolerance == 0.02
