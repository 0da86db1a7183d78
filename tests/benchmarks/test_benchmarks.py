"""The benchmarks are fair and complete; whether anybody is fast is not tested here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.benchmarks.accuracy import judged
from tests.benchmarks.client import Process
from tests.benchmarks.contenders.contract import Contender, Measure, Top
from tests.benchmarks.contenders.naive import DoubleBackward, ForwardOverReverse
from tests.benchmarks.harness import Harness
from tests.benchmarks.problems import build
from tests.benchmarks.reference import Reference, Truth
from tests.benchmarks.results import SCHEMA, Results, machine, now, versions
from tests.benchmarks.worker import Worker

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
HERE = "tests.benchmarks.test_benchmarks"


class Wrong(DoubleBackward):
    """One coordinate of every product is forgotten."""

    def products(self, columns: Tensor) -> Tensor:
        images = super().products(columns).clone()
        images[0] = 0
        return images


class Broken(Contender):
    def setup(self, problem: object) -> None:
        raise RuntimeError("no such kernel")


class Local:
    """A worker in this process."""

    def __init__(self, name: str) -> None:
        self.worker = Worker(name)

    def handle(self, request: dict) -> dict:
        return json.loads(json.dumps(self.worker.handle(request)))

    def close(self) -> None:
        return


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(
        start=Local,
        folder=tmp_path,
        quick=True,
        repeats=2,
        seconds=0.0,
        warm_seconds=0.0,
        say=len,
    )


def test_the_wrong_contender_is_disqualified_and_the_right_one_is_not(harness: Harness) -> None:
    names = ["double-backward", f"{HERE}:Wrong", f"{HERE}:Broken"]
    right, wrong, broken = harness.products("mlp", names)
    assert right.single.status == right.block.status == "measured"
    assert wrong.single.status == wrong.block.status == "disqualified"
    assert wrong.single.ratio is None
    assert "off by" in wrong.single.reason
    assert broken.single.status == "failed"
    assert "no such kernel" in broken.block.reason


def test_everything_promised_is_in_the_json(harness: Harness, tmp_path: Path) -> None:
    results = Results(
        schema=SCHEMA,
        date=now(),
        machine=machine("cpu"),
        versions=versions(),
        settings={"threads": 1},
        products=harness.products("mlp", ["landscape"]),
        answers=harness.answers("top10", "digits-mlp", ["landscape"]),
    )
    results.write(tmp_path / "results.json")
    found = json.loads((tmp_path / "results.json").read_text())
    assert {"cpu", "cores", "gpu"} <= set(found["machine"])
    assert {"python", "torch", "curvlinops-for-pytorch", "PyHessian", "scipy"} <= set(
        found["versions"]
    )
    assert found["date"]
    (row,) = found["products"]
    assert row["setup_seconds"] > 0
    assert row["gradient_seconds"] > 0
    for kind in ("single", "block"):
        assert row[kind]["status"] == "measured"
        assert 0 < row[kind]["low"] <= row[kind]["ratio"] <= row[kind]["high"]
        assert row[kind]["relative_error"] < 1e-4
    (answer,) = found["answers"]
    assert len(answer["seconds"]) == answer["accurate"] == 2
    assert max(answer["deviations"]) <= 1e-3


@pytest.mark.full
def test_a_process_answers_and_tells_when_it_ends() -> None:
    process = Process("double-backward", threads=1, limit=120)
    assert process.handle({"do": "efforts", "task": "top10"}) == {"efforts": []}
    assert "KeyError" in process.handle({"do": "nothing of the kind"})["error"]
    process.close()
    assert "error" in process.handle({"do": "efforts", "task": "top10"})


@pytest.mark.parametrize("name", ["mlp", "resnet-small", "gpt-small", "digits-cnn"])
def test_the_reference_agrees_with_differentiating_forward(name: str) -> None:
    problem = build(name, device="cpu", quick=True)
    columns = problem.columns()[:, :2]
    other = ForwardOverReverse()
    with other.attention():
        other.setup(problem)
        images = other.products(columns)
    expected = Reference(problem).products(columns)
    assert torch.allclose(images.double(), expected, rtol=1e-3, atol=1e-5 * float(expected.norm()))


def test_a_missed_pair_is_noticed_though_every_residual_is_small() -> None:
    problem = build("mlp", device="cpu", quick=True)
    values, vectors = np.linalg.eigh(Reference(problem).dense())
    values, rows = values[::-1].copy(), torch.as_tensor(vectors.T[::-1].copy())
    truth = Truth({}, torch.empty(0), 0.0, values[:10], values)
    all_ten = Top(values[:10], rows[:10], np.zeros(10))
    skipping = Top(values[1:11], rows[1:11], np.zeros(10))
    assert judged("top10", DoubleBackward(), problem, truth, all_ten).accurate
    verdict = judged("top10", DoubleBackward(), problem, truth, skipping)
    assert verdict.deviation < 1e-6
    assert not verdict.accurate
    doubtful = Top(values[:10], rows[:10], np.full(10, 0.1 * values[0]))
    assert not judged("top10", DoubleBackward(), problem, truth, doubtful).accurate


def test_a_shifted_density_is_as_far_as_it_is_shifted() -> None:
    spectrum = np.linspace(-1, 3, 400)
    truth = Truth({}, torch.empty(0), 0.0, None, spectrum)
    problem = build("mlp", device="cpu", quick=True)
    weights = np.full(400, 1 / 400)
    for shift, accurate in ((0.02, True), (0.06, False)):
        answer = Measure(spectrum + shift, weights)
        verdict = judged("density", DoubleBackward(), problem, truth, answer)
        assert verdict.deviation == pytest.approx(shift / 4)
        assert verdict.accurate is accurate
