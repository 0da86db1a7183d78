"""`landscape doctor`: every check is shown, and the exit code is that of the first failure."""

from __future__ import annotations

import jsonschema
import pytest
import torch

from landscape.doctor import Doctor
from tests.cli.command import NETWORKS, SUBJECT, contents, done, run
from tests.cli.networks import mlp, partial


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(mlp().state_dict(), tmp_path / "final.pt")
    return tmp_path


def test_a_table(folder):
    before = contents(folder)
    outcome = done(f"doctor final.pt {SUBJECT}")
    for name in ("checkpoint", "load map", "derivative", "memory", "linearize", "standard"):
        assert name in outcome.stdout
    assert outcome.stdout.splitlines()[-1].startswith("warn: ")  # random weights beat no constant
    assert "note: loss ce chosen" in outcome.stderr
    assert "\x1b" not in outcome.stdout + outcome.stderr
    assert contents(folder) == before


def test_json():
    outcome = done(f"doctor final.pt {SUBJECT} --json -q")
    document = outcome.document
    jsonschema.validate(document, Doctor.schema(), cls=jsonschema.Draft202012Validator)
    assert Doctor.from_json(document).to_json() == document
    assert document["provenance"]["model"] == f"{NETWORKS}:mlp"
    assert outcome.stderr == ""


def test_another_network_is_a_failure_that_stops_nothing(folder):
    torch.save(partial().state_dict(), folder / "final.pt")
    outcome = run(f"doctor final.pt {SUBJECT} -q")
    assert outcome.code == 3
    assert "missing (4)" in outcome.stdout
    assert "23 samples in 2 batches" in outcome.stdout
    assert "not looked at: load map failed" in outcome.stdout
    assert "first failure: load map" in outcome.stdout


def test_weights_that_are_not_finite(folder):
    weights = mlp().state_dict()
    weights["1.weight"][0, 0] = torch.nan
    torch.save(weights, folder / "final.pt")
    assert run(f"doctor final.pt {SUBJECT} --json").code == 5


def test_names_are_shown_and_never_interpreted(folder):
    hostile = "\x1b[31m[/red]<img>"
    torch.save({**mlp().state_dict(), hostile: torch.ones(1)}, folder / "final.pt")
    outcome = done(f"doctor final.pt {SUBJECT}")
    assert "\x1b" not in outcome.stdout + outcome.stderr
    assert "[/red]<img>" in outcome.stdout


def test_a_file_that_is_not_there():
    outcome = run(f"doctor nowhere.pt {SUBJECT} -q")
    assert outcome.code == 3
    assert "23 samples" in outcome.stdout


def test_a_setting_out_of_bounds_is_a_usage_error():
    assert run(f"doctor final.pt {SUBJECT} --budget soon").code == 2
    assert run("doctor").code == 2


def test_the_report_is_planned_at_a_preset(folder):
    outcome = done(f"doctor final.pt {SUBJECT} --preset quick --seed 3 -o out --json")
    document = outcome.document
    assert document["settings"] == {"preset": "quick"}
    assert document["seed"] == 3
    assert (folder / "out" / "doctor.json").read_text() == outcome.stdout
    rows = {one["section"]: one for one in document["answer"]["report"]}
    assert rows["ntk"]["expected"] == "a kernel of at most 300 samples"
    assert rows["spectrum"]["seconds"] > 0
    assert rows["connect"]["seconds"] is None
    again = run(f"doctor final.pt {SUBJECT} -o out")
    assert again.code == 3
    assert "already holds doctor.json" in again.stderr


def test_a_warning_ends_strictly():
    outcome = run(f"doctor final.pt {SUBJECT} --strict")  # random weights beat no constant
    assert outcome.code == 5
    assert "why: the network does worse than one that ignores its inputs" in outcome.stderr
