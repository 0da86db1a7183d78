"""`landscape surface`: one document, figures, answers side by side, going on where it was."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import torch

from landscape.surfaces.result import SurfaceResult
from tests.cli.command import Outcome, done, run
from tests.diagnostics.test_connect import trained
from tests.diagnostics.test_surface import steps

FACTORIES = """
from tests.diagnostics.test_connect import blobs, mlp as build


def data():
    return [blobs()]
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """Two networks, and the checkpoints of a third one's run."""
    folder = tmp_path_factory.mktemp("runs")
    models = {"a": trained(0), "b": trained(1)}
    models |= {f"step{number}": model for number, model in enumerate(steps())}
    for name, model in models.items():
        torch.save(model.state_dict(), folder / f"{name}.pt")
    (folder / "nets.py").write_text(FACTORIES)
    return folder


def surface(runs: Path, names: str, more: str = "") -> Outcome:
    paths = " ".join(f"{runs}/{name}.pt" for name in names.split())
    attached = f"--model {runs}/nets.py:build --data {runs}/nets.py:data --device cpu"
    return run(f"surface {paths} {attached} --samples 100 --points 5 {more}")


def test_one_document(runs):
    outcome = surface(runs, "a b", "--json")
    assert outcome.code == 0, outcome.stderr
    schema = SurfaceResult.schema()
    jsonschema.validate(outcome.document, schema, cls=jsonschema.Draft202012Validator)
    answer = outcome.document["answer"]
    assert answer["checkpoints"] == ["a.pt", "b.pt"]
    assert len(answer["loss"]) == len(answer["y"]) == len(answer["x"]) == 5
    assert [one["checkpoint"] for one in answer["others"]] == ["a.pt"]


def test_what_is_told(runs):
    outcome = surface(runs, "a", "--dimensions 1 --directions eigenvectors")
    assert outcome.code == 0, outcome.stderr
    assert "eigenvectors of the Hessian" in outcome.stdout
    assert "Curvature along the directions" in outcome.stdout


def test_a_run(runs, tmp_path):
    names = " ".join(f"step{number}" for number in range(len(steps())))
    outcome = surface(runs, names, f"--directions trajectory -o {tmp_path}/out")
    assert outcome.code == 0, outcome.stderr
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"surface.json", "surface.png", "surface-relief.svg", "surface-error.png"} <= written


@pytest.mark.parametrize("dimensions", [pytest.param(1, marks=pytest.mark.full), 2])
def test_answers_side_by_side(runs, tmp_path, dimensions):
    for name in "ab":
        more = f"--dimensions {dimensions} --unchecked -o {tmp_path}/{name}"
        assert surface(runs, name, more).code == 0
    answers = " ".join(f"{tmp_path}/{name}/surface.json" for name in "ab")
    done(f"plot {answers} -o {tmp_path}/both.png")
    assert (tmp_path / "both.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("names", "more", "told"),
    [
        ("a", "--directions curve", "two checkpoints are needed"),
        ("a b", "--directions checkpoints", "three checkpoints are needed"),
        ("a b", "--directions trajectory", "3 checkpoints are needed"),
        ("a", "--dimensions 1 --directions curve", "is a plane"),
        ("a", "--points 4", "an odd number of points"),
    ],
)
def test_what_cannot_be_asked(runs, names, more, told):
    outcome = surface(runs, names, more)
    assert outcome.code == 2
    assert told in outcome.stderr
