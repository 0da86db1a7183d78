"""`landscape ntk`: a plan, one document, figures, going on where it was."""

from __future__ import annotations

import json

import jsonschema
import numpy as np
import pytest
import torch

from landscape.kernels.result import NtkResult
from tests.cli.command import SUBJECT, done
from tests.cli.networks import filled, mlp


@pytest.fixture
def runs(tmp_path):
    for seed, name in enumerate(["a", "b"]):
        torch.save(filled(mlp(), seed).state_dict(), tmp_path / f"{name}.pt")
    return tmp_path


def test_one_document(runs):
    outcome = done(f"ntk {runs}/a.pt {SUBJECT} --device cpu --json")
    jsonschema.validate(outcome.document, NtkResult.schema(), cls=jsonschema.Draft202012Validator)
    answer = outcome.document["answer"]
    assert answer["kind"] == "trace"
    assert answer["kernel_file"] is None
    assert answer["eigenvalues"] == sorted(answer["eigenvalues"], reverse=True)
    for name in ("trace", "condition", "alignment"):
        assert answer[name]["value"] is not None
    assert sum(answer["eigenvalues"]) == pytest.approx(answer["trace"]["value"], rel=1e-5)


def test_the_plan_is_a_table(runs):
    outcome = done(f"ntk {runs}/a.pt {SUBJECT} --device cpu --plan")
    assert "plan of the trace kernel" in outcome.stdout
    assert "contraction" in outcome.stdout
    assert "total at the peak" in outcome.stdout
    for name, _ in mlp().named_parameters():
        assert name in outcome.stdout


def test_fewer_samples_than_the_data_have_are_told(runs):
    command = f"ntk {runs}/a.pt {SUBJECT} --device cpu --plan"
    assert ", 7 of 23 samples\n" in done(f"{command} --samples 7").stdout
    assert ", 23 samples\n" in done(command).stdout


def test_a_series_writes_figures_and_kernels(runs):
    more = f"--kind full --kernel-file {runs}/kernel-{{checkpoint}}.npz -o {runs}/out"
    done(f"ntk {runs}/a.pt {runs}/b.pt {SUBJECT} --device cpu {more}")
    names = {path.name for path in (runs / "out").iterdir()}
    assert {"ntk.json", "ntk.png", "ntk.svg", "ntk-power.png", "ntk-ridge.png"} <= names
    series = json.loads((runs / "out" / "ntk.json").read_text())["answer"]["series"]
    assert series[0]["change"] is None
    assert series[1]["change"]["first"]["value"] >= 0
    for one in series:
        kernel = np.load(one["kernel_file"])["kernel"]
        assert np.trace(kernel) == pytest.approx(one["trace"]["value"], rel=1e-6)


@pytest.mark.usefixtures("blank")
def test_again_in_the_same_folder(runs):
    command = f"ntk {runs}/a.pt {SUBJECT} --device cpu -o {runs}/out"
    done(command)
    first = json.loads((runs / "out" / "ntk.json").read_text())
    done(f"{command} --force")
    again = json.loads((runs / "out" / "ntk.json").read_text())
    assert again["answer"] == first["answer"]


def test_a_kernel_by_its_products(runs):
    command = f"ntk {runs}/a.pt {SUBJECT} --device cpu --kind products --top 3 -o {runs}/out"
    outcome = done(f"{command} --json")
    answer = outcome.document["answer"]
    assert answer["kind"] == "products"
    assert len(answer["eigenvalues"]) == len(answer["residuals"]) == 3
    assert answer["density"]["grid"]
    assert (runs / "out" / "ntk-density.png").exists()
