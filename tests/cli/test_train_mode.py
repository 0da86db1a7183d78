"""`--mode train` on every command: right, or refused with the reason; stamped wherever it shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import landscape as ls
from tests.cli.command import FAST, done, run
from tests.cli.networks import drawn, filled

FACTORIES = """
import torch
from torch import nn

from tests.cli.networks import drawn, filled


def build(p=0.0):
    layers = [nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(p), nn.Linear(8, 3)]
    return filled(nn.Sequential(*layers))


def dropping():
    return build(0.3)


def data():
    def batch(size, seed):
        labels = torch.randint(3, (size,), generator=drawn(seed + 1))
        return torch.randn(size, 6, generator=drawn(seed)), labels

    return [batch(20, 0), batch(10, 2)]
"""
STUDIED = "--model nets.py:build --data nets.py:data --device cpu"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """A working folder with factories and two checkpoints."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(FACTORIES)
    model: Any = torch.nn.Sequential(
        torch.nn.Linear(6, 8), torch.nn.BatchNorm1d(8), torch.nn.Tanh(), torch.nn.Dropout(0.0),
        torch.nn.Linear(8, 3),
    )  # fmt: skip
    for seed, name in enumerate(("final.pt", "other.pt")):
        filled(model, seed)
        model[1].running_mean = torch.randn(8, generator=drawn(seed))
        torch.save(model.state_dict(), name)
    return tmp_path


def largest(outcome) -> float:
    return outcome.document["answer"]["eigenvalues"]["top"][0]["value"]


def test_the_spectrum_of_train_mode_is_stamped_and_another():
    outcome = done(f"spectrum final.pt {STUDIED} {FAST} --mode train --json")
    told = outcome.document
    assert told["provenance"]["mode"] == "train"
    assert told["cost"]["samples"] == 20
    assert "note: train mode: one fixed batch of the first 20 samples" in outcome.stderr
    assert all(one["sampling"] is None for one in told["answer"]["eigenvalues"]["top"])
    evaluated = done(f"spectrum final.pt {STUDIED} {FAST} --json").document
    assert evaluated["provenance"]["mode"] == "eval"
    assert largest(outcome) != pytest.approx(
        evaluated["answer"]["eigenvalues"]["top"][0]["value"], rel=0.01
    )
    text = done(f"spectrum final.pt {STUDIED} {FAST} --mode train").stdout
    assert "TRAIN-MODE data: " in text


def test_the_batch_size_is_that_of_the_batch():
    found = {
        size: done(f"spectrum final.pt {STUDIED} {FAST} --mode train --batch-size {size} --json")
        for size in (12, 30)
    }
    for size, outcome in found.items():
        assert outcome.document["cost"]["samples"] == size
    assert largest(found[12]) != pytest.approx(largest(found[30]), rel=1e-3)
    outcome = run(f"spectrum final.pt {STUDIED} {FAST} --mode train --batch-size 31")
    assert outcome.code == 2
    assert "there are 30" in outcome.stderr


def test_the_stability_of_batchnorm_is_judged_in_train_mode_only():
    command = f"spectrum final.pt {STUDIED} {FAST} --learning-rate 1e4"
    judged = done(f"{command} --mode train --json").document["answer"]["stability"]
    assert judged["verdict"] == "above"
    assert judged["batch"] == 20
    assert "for training on this batch of 20 alone" in done(f"{command} --mode train").stdout
    evaluated = done(f"{command} --json").document["answer"]["stability"]
    assert evaluated["verdict"] == "not judged"
    assert evaluated["batch"] is None
    assert "--mode train" in done(command).stdout


def test_answers_of_both_modes_do_not_meet_in_one_folder():
    command = f"spectrum final.pt {STUDIED} {FAST} -o out --json"
    first = done(command)
    (Path("out") / "spectrum.json").unlink()
    for path in Path("out").glob("spectrum*.*"):
        path.unlink()
    second = done(f"{command} --mode train")
    assert largest(first) != pytest.approx(largest(second), rel=0.01)


def test_gradients_are_those_of_train_mode():
    norms = {
        mode: done(f"gradients final.pt {STUDIED} --mode {mode} --json").document["answer"]
        for mode in ("eval", "train")
    }
    subject = ls.Subject("nets.py:build", "auto", "nets.py:data", "final.pt", mode="train")
    expected = float(subject.gradient(subject.point).norm())
    assert norms["train"]["total_norm"]["value"] == pytest.approx(expected, rel=1e-5)
    assert norms["eval"]["total_norm"]["value"] != pytest.approx(expected, rel=0.01)


def test_what_needs_independent_samples_is_refused():
    command = f"final.pt {STUDIED} --mode train"
    outcome = run(f"spectrum {command} {FAST} --operator empirical-fisher")
    assert outcome.code == 2
    assert "depend on one another" in outcome.stderr
    outcome = run(f"connect other.pt {command}")
    assert outcome.code == 2
    assert "depend on one another" in outcome.stderr
    assert "--mode eval" in outcome.stderr


def test_dropout_is_refused_by_name():
    outcome = run(f"gradients final.pt {STUDIED.replace('build', 'dropping')} --mode train")
    assert outcome.code == 3
    assert "3 (Dropout)" in outcome.stderr
    done(f"gradients final.pt {STUDIED.replace('build', 'dropping')}")


def test_pyhessian_has_no_opinion_in_train_mode():
    outcome = done(f"spectrum final.pt {STUDIED} {FAST} --mode train --crosscheck --json")
    assert outcome.document["answer"]["crosscheck"]["status"] == "skipped"


@pytest.mark.usefixtures("blank")
def test_a_report_is_stamped(monkeypatch):
    settings = {"top": 2, "bottom": 1, "probes": 2, "lanczos_steps": 6, "max_probes": 8}
    monkeypatch.setattr(ls.Spectrum, "presets", {**ls.Spectrum.presets, "quick": settings})
    command = f"report final.pt other.pt {STUDIED} --preset quick --mode train -o out --json"
    told = done(command).document
    assert told["provenance"]["mode"] == "train"
    assert {"spectrum", "gradients", "weights"} <= set(told["answer"]["sections"])
    (skipped,) = [one for one in told["answer"]["skipped"] if one["section"] == "connect"]
    assert "depend on one another" in skipped["reason"]
    assert skipped["unlock"] == "--mode eval"
    for name in ("report.html", "report.md"):
        assert "TRAIN-MODE" in (Path("out") / name).read_text()
    assert "TRAIN MODE, one batch of 20 samples" in (Path("out") / "report.html").read_text()


def test_the_preflight_examines_train_mode():
    outcome = done(f"doctor final.pt {STUDIED} --mode train")
    assert "studied in train mode" in outcome.stdout
    outcome = run(f"doctor final.pt {STUDIED.replace('build', 'dropping')} --mode train")
    assert outcome.code == 3
    assert "random numbers in train mode" in outcome.stdout


def test_every_command_that_calls_the_network_has_the_option():
    for kind in ls.DIAGNOSTICS:
        text = done(f"{kind.name.replace('-', ' ')} --help").stdout
        assert ("--mode" in text) == ("--data" in text)
    assert run(f"gradients final.pt {STUDIED} --mode test").code == 2
