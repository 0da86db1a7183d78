"""`--held-out` gives the data that judge."""

from __future__ import annotations

import pytest
import torch

from tests.cli.command import NETWORKS, SUBJECT, run
from tests.cli.networks import filled, mlp


def test_held_out(tmp_path):
    for seed in range(2):
        torch.save(filled(mlp(), seed).state_dict(), tmp_path / f"{seed}.pt")
    command = f"connect {tmp_path}/0.pt {tmp_path}/1.pt --model {NETWORKS}:mlp --path line --json"
    data = f"--data {NETWORKS}:data"
    own = run(f"{command} {data}").document
    apart = run(f"{command} {data} --held-out {NETWORKS}:shuffled_loader").document
    assert (own["answer"]["judged_on"], own["answer"]["samples"]) == ("the given data", 23)
    assert (apart["answer"]["judged_on"], apart["answer"]["samples"]) == ("held-out data", 20)
    assert apart["provenance"]["batches_hash"] == own["provenance"]["batches_hash"]
    assert apart["provenance"]["held_out_hash"] != own["provenance"]["held_out_hash"]


def test_held_out_samples_are_not_told_as_a_part_of_the_data(tmp_path):
    for seed in range(2):
        torch.save(filled(mlp(), seed).state_dict(), tmp_path / f"{seed}.pt")
    command = f"connect {tmp_path}/0.pt {tmp_path}/1.pt --model {NETWORKS}:mlp --path line"
    told = run(f"{command} --data {NETWORKS}:data --held-out {NETWORKS}:shuffled_loader").stdout
    assert "networks.py:data, 23 samples\n" in told


def test_an_answer_is_not_taken_for_that_on_other_data(tmp_path):
    for seed in range(2):
        torch.save(filled(mlp(), seed).state_dict(), tmp_path / f"{seed}.pt")
    command = f"connect {tmp_path}/0.pt {tmp_path}/1.pt --model {NETWORKS}:mlp --path line --json"
    command += f" --data {NETWORKS}:data -o {tmp_path}/out"
    first = run(command).document
    (tmp_path / "out" / "connect.json").unlink()
    for figure in (tmp_path / "out").glob("connect*"):
        figure.unlink()
    second = run(f"{command} --held-out {NETWORKS}:shuffled_loader").document
    assert second["answer"]["samples"] != first["answer"]["samples"]


@pytest.mark.parametrize("command", ["spectrum", "report"])
@pytest.mark.parametrize(
    ("spec", "what"),
    [
        (f"{NETWORKS}:absent", "has no attribute"),
        ("random:shape=32,classes=10,samples=4", "the model could not be called"),
        ("random:shape=64,classes=90,samples=40", "but the model has 10 outputs"),
    ],
)
def test_what_is_wrong_with_held_out_data_is_told_of_them(tmp_path, command, spec, what):
    torch.save(filled(mlp()).state_dict(), tmp_path / "0.pt")
    outcome = run(f"{command} {tmp_path}/0.pt {SUBJECT} --held-out {spec} --dry-run")
    assert outcome.code == 3
    assert outcome.stderr.startswith("error[L330]: held-out data: ")
    assert what in outcome.stderr
