"""Masks from the shell: scored, written, exported, compared, and given to other commands."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from landscape.pruning.files import load
from tests.cli.command import FAST, NETWORKS, SUBJECT, done, run
from tests.cli.networks import filled, transformer

TIED = f"--model {NETWORKS}:transformer --data {NETWORKS}:tokens"
METHODS = ("magnitude", "random", "snip", "grasp", "synflow")
PAIRED = ("movement", "magnitude-increase", "large-final")


@pytest.fixture(autouse=True)
def folder(folder: Path) -> Path:
    torch.save(filled(transformer(), 1).state_dict(), "first.pt")
    torch.save(transformer().state_dict(), "last.pt")
    return folder


@pytest.mark.usefixtures("blank")
@pytest.mark.parametrize("method", [*METHODS, *PAIRED])
@pytest.mark.parametrize("network", ["mlp", "tied"])
def test_every_score_writes_a_mask_of_exact_size(method, network):
    files, attached = {"mlp": ("initial.pt final.pt", SUBJECT), "tied": ("first.pt last.pt", TIED)}[
        network
    ]
    told = done(f"tickets score {files} {attached} --method {method} --density 0.25 -o m --json")
    mask = load("m/mask.safetensors")
    sizes = sum(mask.sizes.values())
    assert mask.total == round(0.25 * sizes) == told.document["answer"]["kept"]
    assert mask.provenance["method"] == method
    assert mask.provenance["density"] == 0.25
    assert mask.provenance["weights_fingerprint"]
    assert {path.name for path in Path("m").iterdir() if path.is_file()} == {
        "mask.safetensors",
        *(f"tickets-score.{suffix}" for suffix in ("json", "png", "svg")),
    }


@pytest.mark.usefixtures("blank")
def test_the_mask_is_written_again_from_what_is_remembered():
    command = f"tickets score final.pt {SUBJECT} --method snip -o m"
    done(command)
    before = load("m/mask.safetensors")
    refused = run(command)
    assert refused.code == 3
    assert "mask.safetensors" in refused.stderr
    for path in Path("m").glob("*.*"):
        path.unlink()
    done(command)
    again = load("m/mask.safetensors")
    assert again.provenance == before.provenance
    assert all(torch.equal(again.kept[name], before.kept[name]) for name in before.kept)


@pytest.mark.usefixtures("blank")
@pytest.mark.parametrize("name", ["pruned.pt", "pruned.safetensors"])
def test_the_exported_checkpoint_is_pruned_and_loads(name):
    done(f"tickets score last.pt {TIED} --density 0.5 --export {name} -o m -q")
    mask = load("m/mask.safetensors")
    state = load_file(name) if name.endswith("safetensors") else torch.load(name, weights_only=True)
    for key, kept in mask.kept.items():
        assert bool((state[key][~kept] == 0).all())
        assert bool((state[key][kept] != 0).all())
    if name.endswith(".pt"):
        transformer().load_state_dict(state, strict=True)
    flags = f"{TIED} {FAST} --product cached --json"
    pruned = done(f"spectrum {name} {flags} --mask m/mask.safetensors").document
    dense = done(f"spectrum last.pt {flags} --mask m/mask.safetensors").document
    label = pruned["answer"].pop("checkpoint"), dense["answer"].pop("checkpoint")
    assert label == (name, "last.pt")
    assert pruned["answer"] == dense["answer"]
    assert pruned["provenance"]["weights_fingerprint"] == dense["provenance"]["weights_fingerprint"]


def test_an_export_that_cannot_be_is_refused_first():
    outcome = run(f"tickets score final.pt {SUBJECT} --export pruned.onnx")
    assert outcome.code == 3
    assert "ends in one of" in outcome.stderr
    assert run(f"tickets score final.pt {SUBJECT} --export absent/pruned.pt").code == 3


@pytest.mark.parametrize("command", ["spectrum", "gradients", "surface", "lipschitz", "doctor"])
def test_a_mask_is_taken_by_every_command_with_a_model(command):
    done(f"tickets score final.pt {SUBJECT} --density 0.25 -o m -q")
    settings = {"spectrum": FAST, "surface": "--points 3", "gradients": "--samples 8"}
    outcome = done(
        f"{command} final.pt {SUBJECT} {settings.get(command, '')} --mask m/mask.safetensors"
    )
    assert "296 of 1,184 weights are kept and studied" in outcome.stderr


def test_studied_are_the_kept_weights_and_what_the_mask_does_not_name():
    done(f"tickets score final.pt {SUBJECT} --density 0.25 -o m -q")
    found = done(f"spectrum final.pt {SUBJECT} {FAST} --mask m/mask.safetensors --json").document
    assert found["answer"]["parameters"] == 296 + 16 + 10
    assert found["provenance"]["mask"]["kept"] == 296


def test_wrong_masks_are_refused():
    done(f"tickets score last.pt {TIED} -o m -q")
    outcome = run(f"spectrum final.pt {SUBJECT} {FAST} --mask m/mask.safetensors")
    assert outcome.code == 3
    assert "which the network does not have" in outcome.stderr
    assert run(f"spectrum final.pt {SUBJECT} {FAST} --mask final.pt").code == 3
    scored = run(f"tickets score last.pt {TIED} --mask m/mask.safetensors")
    assert scored.code == 2
    assert "no --mask" in scored.stderr


@pytest.mark.usefixtures("blank")
def test_compare():
    done(f"tickets score final.pt {SUBJECT} --density 0.5 -o a --export pruned.pt -q")
    done(f"tickets score final.pt {SUBJECT} --density 0.25 -o b -q")
    done(f"tickets score final.pt {SUBJECT} --method random --density 0.25 -o c -q")
    pair = done("tickets compare a/mask.safetensors b/mask.safetensors --json").document["answer"]
    (one,) = pair["pairs"]
    assert one["nested"] == "b in a"
    assert one["jaccard"]["value"] == 296 / 592
    same = done("tickets compare a/mask.safetensors pruned.pt --json").document["answer"]
    assert same["pairs"][0]["nested"] == "same"
    many = done("tickets compare a/mask.safetensors b/mask.safetensors c/mask.safetensors -o m")
    assert "3 masks" in many.stdout
    assert Path("m/tickets-compare.png").exists()
    done(f"tickets score last.pt {TIED} -o d -q")
    outcome = run("tickets compare a/mask.safetensors d/mask.safetensors")
    assert outcome.code == 3
    assert "different networks" in outcome.stderr


def test_a_report_is_rendered_from_a_score():
    done(f"tickets score final.pt {SUBJECT} -o m -q")
    done("render m/tickets-score.json -o page.html")
    page = Path("page.html").read_text()
    assert "Layers under the mask" in page
    assert "Which weights a pruning score keeps" in page


@pytest.mark.parametrize("command", ["find", "eval"])
def test_the_example_begins_where_training_begins(command):
    assert f"landscape tickets {command} run/init.pt" in run(f"tickets {command} --help").stdout
