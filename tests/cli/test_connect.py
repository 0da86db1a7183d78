"""`landscape connect`: verdicts as exit codes, one document, figures, names of many runs."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import torch

from landscape.connectivity.result import ConnectResult
from tests.cli.command import Outcome, done, run
from tests.diagnostics.test_connect import mlp, permuted, trained

FACTORIES = """
from tests.diagnostics.test_connect import blobs, mlp as build


def data():
    return [blobs()]


def halves():
    inputs, labels = blobs()
    return {"train": [(inputs[:400], labels[:400])], "held_out": [(inputs[400:], labels[400:])]}
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """Two runs, one of them also in another order of its units, and one that never began."""
    folder = tmp_path_factory.mktemp("runs")
    models = {"0": trained(0), "1": permuted(trained(0)), "2": trained(1), "untrained": mlp(seed=7)}
    for name, model in models.items():
        (folder / name).mkdir()
        torch.save(model.state_dict(), folder / name / "final.pt")
    (folder / "nets.py").write_text(FACTORIES)
    return folder


def connect(runs: Path, names: str, more: str = "") -> Outcome:
    paths = " ".join(f"{runs}/{name}/final.pt" for name in names.split())
    attached = f"--model {runs}/nets.py:build --data {runs}/nets.py:data --device cpu"
    return run(f"connect {paths} {attached} {more}")


@pytest.mark.parametrize(
    ("names", "more", "code", "verdict"),
    [
        ("0 0", "", 0, "connected along the line"),
        ("0 1", "--path aligned", 0, "connected along the aligned line"),
        ("0 1", "--path line", 1, "barrier on the paths tried"),
        ("0 untrained", "", 7, "refused"),
        ("0 1 2", "--path line", 1, "3 networks, 3 pairs"),
        ("0 0 untrained", "--path line", 7, "3 networks, 3 pairs: 1 connected, 2 refused"),
    ],
)
def test_exit_codes(runs, names, more, code, verdict):
    outcome = connect(runs, names, more)
    assert outcome.code == code, outcome.stderr
    assert verdict in outcome.stdout
    assert "error[" not in outcome.stderr, "a verdict is no failure"


def test_one_document(runs):
    outcome = connect(runs, "0 1", "--path line --json")
    assert outcome.code == 1
    jsonschema.validate(
        outcome.document, ConnectResult.schema(), cls=jsonschema.Draft202012Validator
    )
    assert outcome.document["schema"] == "landscape/connect/1"
    (pair,) = outcome.document["answer"]["pairs"]
    assert (pair["a"], pair["b"], pair["verdict"]) == ("0/final.pt", "1/final.pt", "barrier")
    path = pair["paths"]["line"]
    assert {0.0, 0.5, 1.0} <= set(path["t"])
    assert path["barrier"]["loss"]["interval"][0] > pair["tolerance"]["loss"]


def test_explained(runs):
    outcome = connect(runs, "0 0", "--path line --explain")
    assert outcome.code == 0
    for part in ("What may change places", "0.weight:0", "2.weight:1", "frozen"):
        assert part in outcome.stdout


def test_files(runs, tmp_path):
    more = f"--path curve --curve-steps 20 --plane 3 -o {tmp_path}/a"
    assert connect(runs, "0 2", more).code in (0, 1, 7)
    for name in ("connect.json", "connect.png", "connect-error.svg", "connect-plane.png"):
        assert (tmp_path / "a" / name).stat().st_size > 1000
    first = (tmp_path / "a" / "connect.json").read_text()
    again = connect(runs, "0 2", f"{more} --json")
    assert again.code == 3, "what is there is not written over"
    many = connect(runs, "0 1 2", f"--path line -o {tmp_path}/b")
    assert many.code == 1
    assert (tmp_path / "b" / "connect-graph.png").exists()
    done(f"plot {tmp_path}/a/connect.json -o {tmp_path}/again.svg")
    assert '"verdict"' in first


def test_held_out_data_of_the_factory(runs):
    paths = f"{runs}/0/final.pt {runs}/2/final.pt --path line --json"
    outcome = run(f"connect {paths} --model {runs}/nets.py:build --data {runs}/nets.py:halves")
    assert outcome.code == 1
    answer = outcome.document["answer"]
    assert (answer["judged_on"], answer["samples"]) == ("held-out data", 400)
    assert answer["pairs"][0]["paths"]["line"]["training"]["verdict"] == "barrier"


@pytest.mark.parametrize(
    ("names", "more", "code", "says"),
    [
        ("0", "", 2, "2 checkpoints are needed, 1 given"),
        ("0 1", "--path round", 2, "any"),
        ("0 1", "--points 3", 2, "at least 11"),
        ("0 1", "--path aligned --override absent.toml", 3, "absent.toml"),
        ("0 1", "--params '2.*' --path line", 3, "differ in 0"),
    ],
)
def test_refusals(runs, names, more, code, says):
    outcome = connect(runs, names, more)
    assert outcome.code == code, outcome.stderr
    assert says in outcome.stderr
    assert outcome.stdout == ""
