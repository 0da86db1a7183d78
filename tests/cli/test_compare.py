"""`landscape compare`: two documents by their intervals, or checkpoints side by side."""

from __future__ import annotations

import json
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import jsonschema
import pytest
import torch

from landscape.comparison.result import Comparison
from landscape.solutions.result import SolutionsResult
from tests.cli.command import SUBJECT, Outcome, done, piped, run
from tests.cli.networks import filled, mlp
from tests.comparison.documents import number, report, spectrum, unconverged

QUICK = "--points 11 --max-probes 2 --max-products 40 --samples 0"


@pytest.fixture
def compare(tmp_path):
    def command(a, b, more: str = "") -> Outcome:
        (tmp_path / "a.json").write_text(json.dumps(a))
        (tmp_path / "b.json").write_text(json.dumps(b))
        return run(f"compare {tmp_path}/a.json {tmp_path}/b.json {more}")

    return command


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("runs")
    for seed in range(3):
        (folder / str(seed)).mkdir()
        torch.save(filled(mlp(), seed).state_dict(), folder / str(seed) / "final.pt")
    return " ".join(f"{folder}/{seed}/final.pt" for seed in range(3))


@pytest.mark.parametrize(
    ("loss", "flags", "code"),
    [
        (0.4, "--fail-on worse", 0),
        (0.5, "--fail-on worse", 0),
        (0.6, "--fail-on worse", 1),
        (0.6, "", 0),
    ],
)
def test_exit_codes(compare, loss, flags, code):
    outcome = compare(spectrum(), spectrum(loss=number(loss)), flags)
    assert outcome.code == code, outcome.stderr
    word = {0.4: "better", 0.5: "indistinguishable", 0.6: "worse"}[loss]
    if loss == 0.5:
        assert "the same, 6 indistinguishable" in outcome.stdout
        return
    assert word in next(line for line in outcome.stdout.splitlines() if " loss " in line)


def test_a_difference_without_a_better_side_does_not_fail(compare):
    outcome = compare(spectrum(), spectrum(number(400, 3)), "--fail-on worse")
    assert outcome.code == 0
    assert "different" in outcome.stdout


GATE = "--fail-on worse"


def test_a_gate_does_not_pass_on_a_section_that_was_lost(compare):
    """B failed where A has a number: nothing is known to be worse, and nothing to be as good."""
    lost = compare(report(spectrum=spectrum()), report(), GATE)
    assert lost.code == 7
    assert "undecided: in one of the two only: spectrum" in lost.stderr
    assert "Nothing was compared: no number is in both." in lost.stdout
    assert compare(report(spectrum=spectrum()), report()).code == 0  # no gate was asked for
    both = report(spectrum=spectrum()), report(spectrum=spectrum(), weights=spectrum())
    assert compare(*both, GATE).code == 7
    assert compare(*both[::-1], GATE).code == 7
    worse = report(spectrum=spectrum(loss=number(9)))
    assert compare(both[1], worse, GATE).code == 1  # what is worse is worse


@pytest.mark.parametrize("loss", [None, unconverged(0.5, 0.1)])
def test_a_gate_does_not_pass_on_a_number_that_is_not_there(compare, loss):
    for pair in ((spectrum(), spectrum(loss=loss)), (spectrum(loss=loss), spectrum())):
        outcome = compare(*pair, GATE)
        assert outcome.code == 7
        assert "undecided: missing in one of the two, or not settled: loss" in outcome.stderr
        assert "warning: Whether B is worse is not decided" in outcome.stdout
    gone = spectrum()
    del gone["answer"]["loss"]
    assert compare(spectrum(), gone, GATE).code == 7


def test_a_gate_needs_a_number_with_a_better_side(compare):
    weights = {**spectrum(), "schema": "landscape/weights/1"}
    outcome = compare(weights, weights, GATE)
    assert outcome.code == 7
    assert "no number of weights that has a better side is in both" in outcome.stderr
    assert "not decided" not in compare(weights, weights).stdout


def test_a_number_that_is_not_finite_ends_as_a_numerical_failure(compare):
    broken = {**spectrum(loss={**number(1), "value": None}), "status": "not_finite"}
    assert compare(spectrum(), broken, GATE).code == 5
    assert compare(broken, spectrum(), GATE).code == 5


HUGE = 10**400


@pytest.mark.parametrize(
    "damaged",
    [
        spectrum(loss={**number(1), "interval": 5}),
        spectrum(loss={**number(1), "value": "x"}),
        spectrum(loss={**number(1), "status": "fine"}),
        spectrum(loss={**number(1), "value": HUGE}),
        {**spectrum(), "provenance": [1]},
        {**spectrum(), "settings": [1]},
    ],
)
def test_a_damaged_document_is_no_defect(compare, damaged):
    for pair in ((spectrum(), damaged), (damaged, spectrum())):
        outcome = compare(*pair, "--anyway")
        assert outcome.code == 3, outcome.stderr
        assert "is damaged" in outcome.stderr
        assert "b.json" in outcome.stderr


def test_a_report_without_a_mapping_of_sections_is_no_defect(compare):
    damaged = report()
    damaged["answer"]["sections"] = [1]
    assert compare(report(), damaged).code == 3


def test_one_document_under_json(compare):
    outcome = compare(spectrum(), spectrum(loss=number(0.6)), "--json")
    jsonschema.Draft202012Validator(Comparison.schema()).validate(outcome.document)
    assert outcome.document["schema"] == "landscape/compare/3"
    rows = {one["path"]: one for one in outcome.document["answer"]["numbers"]}
    assert rows["loss"]["verdict"] == "worse"
    assert rows["loss"]["better"] == "lower"
    assert rows["loss"]["difference"]["value"] == pytest.approx(0.1)
    provenance = outcome.document["provenance"]
    assert provenance["command"].startswith("landscape compare ")
    assert provenance["command"].endswith("b.json --json")
    assert provenance["files"] == {
        one: sha256(Path(one).read_bytes()).hexdigest()
        for one in provenance["command"].split()[2:4]
    }
    assert provenance["landscape"] == version("landscape")
    assert provenance["a"] == spectrum()["provenance"]
    assert outcome.document["cost"]["seconds"] > 0


def test_what_is_read_once_is_hashed(compare, tmp_path):
    compare(spectrum(), spectrum())
    made = [tmp_path / "a.json", tmp_path / "b.json"]
    outcome = done("compare --json", *map(piped, made))
    hashes = list(outcome.document["provenance"]["files"].values())
    assert hashes == [sha256(one.read_bytes()).hexdigest() for one in made]


def test_what_was_not_made_alike_is_refused(compare):
    other = {**spectrum(), "settings": {"top": 2, "operator": "fisher", "seed": 0}}
    refused = compare(spectrum(), other)
    assert refused.code == 3
    assert "setting operator: hessian and fisher" in refused.stderr
    told = compare(spectrum(), other, "--anyway")
    assert told.code == 0
    assert "warning: The two were not made alike." in told.stdout
    assert compare(spectrum(), report(), "--anyway").code == 3


def test_files_and_force(compare, tmp_path):
    folder = tmp_path / "out"
    assert compare(spectrum(), spectrum(), f"-o {folder}").code == 0
    assert sorted(one.name for one in folder.iterdir()) == [
        "compare.json", "compare.png", "compare.svg",
    ]  # fmt: skip
    assert compare(spectrum(), spectrum(), f"-o {folder}").code == 3
    assert compare(spectrum(), spectrum(), f"-o {folder} --force").code == 0


def test_two_reports(compare):
    outcome = compare(
        report(spectrum=spectrum()), report(spectrum=spectrum(loss=number(1))), "--fail-on worse"
    )
    assert outcome.code == 1
    assert "spectrum.loss" in outcome.stdout


HOSTILE = "\x1b[31m[red]\u202e<script>"


def test_hostile_names_are_inert(compare, tmp_path):
    layers = [{"name": HOSTILE, "trace": number(5, 1)}]
    a, b = spectrum(layers=layers), spectrum(layers=[{**layers[0], "trace": number(50, 1)}])
    outcome = compare(a, b, f"-o {tmp_path}/out")
    assert outcome.code == 0
    assert "\x1b" not in outcome.stdout
    assert "\u202e" not in outcome.stdout
    assert "<script>" not in (tmp_path / "out" / "compare.svg").read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("", 2),
        ("a.json", 2),
        ("a.json b.json c.json", 2),
        ("a.json run.pt", 2),
        ("absent.json b.json", 3),
        ("absent.pt other.pt", 3),
        ("list.json a.json", 3),
        ("a.json b.json --fail-on better", 2),
    ],
)
def test_what_cannot_be_compared(tmp_path, monkeypatch, arguments, code):
    monkeypatch.chdir(tmp_path)
    for name in ("a.json", "b.json", "c.json"):
        (tmp_path / name).write_text(json.dumps(spectrum()))
    (tmp_path / "list.json").write_text("[1]")
    outcome = run(f"compare {arguments}")
    assert outcome.code == code, outcome.stderr
    assert outcome.stderr.startswith("error[L")


def test_checkpoints_in_one_table(checkpoints, tmp_path):
    outcome = done(f"compare {checkpoints} {SUBJECT} {QUICK} --json -q -o {tmp_path}/out")
    jsonschema.Draft202012Validator(SolutionsResult.schema()).validate(outcome.document)
    answer = outcome.document["answer"]
    assert [one["name"] for one in answer["solutions"]] == [f"{k}/final.pt" for k in range(3)]
    assert len(answer["pairs"]) == 3
    assert {one["name"] for one in answer["beside"]} == {"1/final.pt", "2/final.pt"}
    assert (tmp_path / "out" / "solutions-pairs.png").exists()
    text = done(f"compare {checkpoints} {SUBJECT} {QUICK} -q").stdout
    for word in ("Networks", "Pairs", "Beside 0/final.pt", "disagreement", "λ₁"):
        assert word in text


def test_checkpoints_with_where_they_began(checkpoints):
    outcome = done(f"compare {checkpoints} {SUBJECT} {QUICK} --initial --json -q")
    answer = outcome.document["answer"]
    assert answer["initial"] == "0/final.pt"
    assert len(answer["solutions"]) == 2
    assert all(one["from_initial"]["value"] > 0 for one in answer["solutions"])


def test_one_network_is_not_compared(checkpoints):
    outcome = run(f"compare {checkpoints.split()[0]} {SUBJECT}")
    assert outcome.code == 2
    assert "two or more networks are compared" in outcome.stderr
    assert "landscape compare A.json B.json" in outcome.stderr


def test_a_worse_network_fails(tmp_path):
    """Weights that fit the data by themselves, and others that have never seen them."""
    from tests.cli.networks import data

    model = mlp()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    inputs, labels = (torch.cat(parts) for parts in zip(*data(), strict=True))
    for _ in range(200):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
    torch.save(model.state_dict(), tmp_path / "good.pt")
    torch.save(filled(mlp(), 3).state_dict(), tmp_path / "bad.pt")
    flags = f"{SUBJECT} {QUICK} --no-curvature --no-barriers -q --fail-on worse"
    assert run(f"compare {tmp_path}/good.pt {tmp_path}/bad.pt {flags}").code == 1
    assert run(f"compare {tmp_path}/bad.pt {tmp_path}/good.pt {flags}").code == 0


def test_the_help():
    text = done("compare --help").stdout
    assert "Example: landscape compare" in text
    assert "landscape solutions" in " ".join(text.split())
