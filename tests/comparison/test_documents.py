"""Two documents: what is compared with what, which way is better, and what is refused."""

from __future__ import annotations

import json
import math
from typing import Any

import jsonschema
import pytest
from matplotlib.figure import Figure

from landscape.comparison.documents import SINGLE, compare_documents, directions_of
from landscape.comparison.result import Comparison
from landscape.diagnostics import DIAGNOSTICS
from landscape.encode import encode
from landscape.errors import InputError
from landscape.estimate import Estimate, Status
from tests.comparison.documents import number, report, spectrum, unconverged


def verdicts(a, b, **more) -> dict[str, str]:
    return {one.path: one.verdict for one in compare_documents(a, b, **more).numbers}


def test_verdicts_by_the_intervals():
    found = verdicts(spectrum(number(40, 3)), spectrum(number(47, 3), loss=number(0.4), layers=[]))
    assert found == {
        "loss": "better",
        "eigenvalues.top[0]": "different",  # 43 < 44: neither way is better
        "eigenvalues.top[1]": "indistinguishable",
        "eigenvalues.bottom[0]": "indistinguishable",
    }
    assert verdicts(spectrum(), spectrum(loss=number(0.6)))["loss"] == "worse"
    assert verdicts(spectrum(), spectrum(number(46, 3)))["eigenvalues.top[0]"] == (
        "indistinguishable"
    )


def test_the_same_document_is_indistinguishable_from_itself():
    found = compare_documents(spectrum(), spectrum())
    assert {one.verdict for one in found.numbers} == {"indistinguishable"}
    assert (found.same_data, found.same_weights, found.worse) == (True, True, False)
    assert not found.changed
    assert not found.unlike
    assert f"the same, {len(found.numbers)} indistinguishable; " in found.summary()
    assert not found.tables()


def test_of_two_that_are_the_same_only_what_is_undecided_has_a_row():
    a = spectrum(unconverged(40, 3))
    found = compare_documents(a, a)
    (table,) = found.tables()
    assert [row[0] for row in table.rows] == ["eigenvalues.top[0]"]
    other = compare_documents(a, spectrum(unconverged(41, 3)))
    assert len(other.tables()[0].rows) > 1
    assert "the same, " not in other.summary()


def test_the_difference_is_b_minus_a_with_its_interval():
    found = compare_documents(spectrum(number(40, 3)), spectrum(number(50, 2)))
    (top,) = (one for one in found.numbers if one.path == "eigenvalues.top[0]")
    assert top.difference.value == 10
    assert top.difference.interval == pytest.approx((5, 15), abs=2e-3)  # and rounding


def test_layers_are_matched_by_name():
    a, b = spectrum(), spectrum()
    b["answer"]["layers"] = [
        {"name": "new", "trace": number(1, 1)}, {"name": "stem", "trace": number(50, 1)},
    ]  # fmt: skip
    found = compare_documents(a, b)
    listed = {one.path: one.verdict for one in found.numbers if one.listed}
    assert listed == {"layers.stem.trace": "different"}
    assert found.only_a == ('layers["head\\".weight"].trace',) or len(found.only_a) == 1
    assert found.only_b == ("layers.new.trace",)
    assert "in one of the two only" in found.findings()[-1].sentence


def test_counts_flags_and_verdicts_that_changed():
    a = spectrum(outliers={"count": 9, "gap_ratio": 2.8}, pairs=[{"verdict": "connected"}])
    b = spectrum(
        outliers={"count": 3, "gap_ratio": 1.1}, pairs=[{"verdict": "barrier"}], complete=False
    )
    changed = {one.path: (one.a, one.b) for one in compare_documents(a, b).changed}
    assert changed == {
        "complete": (True, False),
        "outliers.count": (9, 3),
        "pairs[0].verdict": ("connected", "barrier"),
    }


def test_what_did_not_converge_is_not_told_apart():
    found = compare_documents(spectrum(unconverged(40, 3)), spectrum(number(400, 3)))
    (top,) = (one for one in found.numbers if one.path == "eigenvalues.top[0]")
    assert (top.verdict, top.reason) == ("undecided", "A: budget spent")


def bound(value: float) -> Any:
    one = Estimate(value=value, kind="lower_bound", interval=(value, math.inf))
    return encode(one)


def test_bounds_that_do_not_decide_have_no_difference():
    """In the document, in the tables, in the message and at the gate."""
    a, b = spectrum(bound(20.63), loss=bound(0.5)), spectrum(bound(10.2), loss=number(0.9, 0.1))
    found = compare_documents(a, b)
    top = {one.path: one for one in found.numbers}["eigenvalues.top[0]"]
    assert (top.verdict, top.reason) == ("undecided", "A: a lower bound; B: a lower bound")
    assert found.to_json()["answer"]["numbers"][1]["difference"]["value"] is None
    row = next(row for row in found.tables()[0].rows if row[0] == top.path)
    assert row[3] is None
    assert found.message == "0 of 6 numbers are told apart."
    assert found.undecided == ("loss",)
    assert not found.headline()
    found.draw(Figure().add_subplot())


def test_numbers_of_two_precisions_may_differ_by_the_rounding_of_the_coarser():
    a, b = spectrum(loss=number(1.0)), spectrum(loss=number(1 + 4e-6))
    fine = {**b, "provenance": {**b["provenance"], "dtype": "float64"}}
    assert verdicts(a, fine, anyway=True)["loss"] == "indistinguishable"
    assert compare_documents(fine, a, anyway=True).rounding == SINGLE
    assert verdicts(*({**one, "provenance": fine["provenance"]} for one in (a, b)))["loss"] == (
        "worse"
    )


def test_the_status_is_the_graver_of_the_two():
    broken = {**spectrum(), "status": "not_finite"}
    assert compare_documents(spectrum(), broken).status is Status.NOT_FINITE
    assert compare_documents(broken, spectrum()).status is Status.NOT_FINITE


def test_data_that_neither_tells_are_not_known_to_be_the_same():
    a, b = ({**spectrum(), "provenance": {"dtype": "float32"}} for _ in range(2))
    found = compare_documents(a, b)
    assert (found.same_data, found.same_weights) == (False, False)
    assert "DIFFERENT data" in found.summary()


def changed(key: str, value, *, where: str = "provenance"):
    document = spectrum()
    return {**document, where: {**document[where], key: value}}


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (changed("batches_hash", "others"), "data: data and others"),
        (changed("held_out_hash", "x"), "held-out data: none and x"),
        (changed("loss", "mse"), "loss: ce and mse"),
        (changed("mode", "train"), "mode: eval and train"),
        (changed("dtype", "float64"), "precision: float32 and float64"),
        (changed("params", "head*"), "parameters studied: none and head*"),
        (changed("mask", {"file": "m"}), "mask"),
        (changed("operator", "fisher", where="settings"), "setting operator: hessian and fisher"),
        (changed("seed", 1, where="settings"), "setting seed: 0 and 1"),
        ({**spectrum(), "schema": "landscape/spectrum/4"}, "schema: landscape/spectrum/5 and"),
    ],
)
def test_what_was_not_made_alike_is_refused_by_name(other, told):
    with pytest.raises(InputError, match="were not made alike") as caught:
        compare_documents(spectrum(), other, names=("a.json", "b.json"))
    assert told in caught.value.why
    assert "--anyway" in caught.value.hint
    found = compare_documents(spectrum(), other, anyway=True)
    assert found.numbers
    assert found.findings()[0].sentence == "The two were not made alike."
    assert told in found.findings()[0].evidence


@pytest.mark.parametrize("key", ["model", "learning_rate", "torch", "command", "notes"])
def test_what_may_differ(key):
    found = compare_documents(spectrum(), changed(key, "other"))
    assert not any(one.grave for one in found.unlike)


def test_different_questions_are_refused_whatever_is_said():
    other = {**spectrum(), "schema": "landscape/gradients/2"}
    with pytest.raises(InputError, match="different questions"):
        compare_documents(spectrum(), other, anyway=True)


def test_reports_section_by_section():
    gradients = {**spectrum(), "schema": "landscape/gradients/2"}
    a = report(spectrum=spectrum(), weights=spectrum())
    b = report(spectrum=spectrum(loss=number(0.7)), gradients=gradients)
    found = compare_documents(a, b)
    assert {one.path for one in found.having("worse")} == {"spectrum.loss"}
    assert found.sections_left_out == ("gradients", "weights")
    b["answer"]["sections"]["spectrum"]["settings"] = {"top": 9}
    with pytest.raises(InputError) as caught:
        compare_documents(a, b)
    assert "spectrum: setting top: 2 and 9" in caught.value.why


def test_series_of_one_length_member_by_member_and_else_the_last():
    members = [spectrum(loss=number(x))["answer"] for x in (3.0, 2.0, 1.0)]
    of = [{**spectrum(), "answer": {"series": members[: k + 1]}} for k in range(3)]
    again = {**of[1], "answer": {"series": [members[0], members[2]]}}
    found = verdicts(of[1], again)
    assert (found["series[0].loss"], found["series[1].loss"]) == ("indistinguishable", "better")
    assert verdicts(of[1], of[2])["loss"] == "better"
    assert verdicts(spectrum(loss=number(9.0)), of[2])["loss"] == "better"


def test_the_document_of_a_comparison():
    found = compare_documents(spectrum(), spectrum(number(90, 1), loss=number(0.1)))
    document = found.to_json()
    schema = Comparison.schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(document)
    text = json.dumps(document, allow_nan=False)
    again = Comparison.from_json(json.loads(text))
    assert again.to_json() == document
    assert again.tables() == found.tables()
    axes = Figure().add_subplot()
    found.draw(axes, label="both")
    assert axes.has_data()
    assert axes.get_yticklabels()[0].get_text() == "loss"
    assert found.headline()[0][0] == "loss"


def test_only_differing_layers_are_in_the_table():
    a = spectrum()
    b = spectrum(layers=[{"name": "stem", "trace": number(5, 1)}])
    rows = [row[0] for row in compare_documents(a, b).tables()[0].rows]
    assert "layers.stem.trace" not in rows


def test_directions_are_declared_for_numbers_that_results_have():
    declared = {one.name: one.result.better for one in DIAGNOSTICS if one.result.better}
    assert declared["spectrum"] == {"loss": "lower"}
    assert directions_of({"schema": "landscape/gradients/2"}) == {"loss": "lower"}
    assert directions_of({"schema": "landscape/elsewhere/1"}) == {}
    for kind in DIAGNOSTICS:
        for place in kind.result.better:
            first = place.split("[")[0].split(".")[0]
            assert first in kind.result.answer_fields(), (kind.name, place)
