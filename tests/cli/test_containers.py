"""One network, however it was saved: one fingerprint, and the same numbers bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file, save_model

from tests.cli.command import FAST, NETWORKS, SUBJECT, done
from tests.cli.networks import data, filled, mlp, transformer


def state(prefix: str = "") -> dict[str, torch.Tensor]:
    return {f"{prefix}{name}": value for name, value in mlp().state_dict().items()}


def optimizer() -> dict[str, Any]:
    model = mlp()
    adam = torch.optim.Adam(model.parameters(), lr=0.01)
    inputs, targets = data()[0]
    torch.nn.functional.cross_entropy(model(inputs), targets).backward()
    adam.step()
    return adam.state_dict()


def lightning() -> dict[str, Any]:
    return {
        "epoch": 4,
        "global_step": 120,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": state("model."),
        "loops": {},
        "optimizer_states": [optimizer()],
        "hyper_parameters": {"width": 16},
    }


WAYS: dict[str, Callable[[Path], object]] = {
    "plain": lambda path: torch.save(state(), path),
    "legacy": lambda path: torch.save(state(), path, _use_new_zipfile_serialization=False),
    "safetensors": lambda path: save_file(state(), path),
    "data parallel": lambda path: torch.save(state("module."), path),
    "compiled": lambda path: torch.save(state("_orig_mod."), path),
    "both": lambda path: torch.save(state("module._orig_mod."), path),
    "lightning": lambda path: torch.save(lightning(), path),
    "training": lambda path: torch.save(
        {"model": state(), "optimizer": optimizer(), "epoch": 4, "step": 120}, path
    ),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> dict[str, Path]:
    """The network in every container, always in a file of the same name."""
    paths = {}
    for way, save in WAYS.items():
        paths[way] = tmp_path_factory.mktemp("saved") / "final"
        save(paths[way])
    return paths


@pytest.fixture(scope="module")
def reference(saved) -> Any:
    return done(f"spectrum {saved['plain']} {SUBJECT} {FAST} --json").document


@pytest.mark.parametrize("way", WAYS)
def test_spectrum(saved, reference, way):
    document = done(f"spectrum {saved[way]} {SUBJECT} {FAST} --json").document
    beside = ("step", "stability", "stability_reason")  # what only some containers tell
    found, expected = (
        {key: value for key, value in one["answer"].items() if key not in beside}
        for one in (document, reference)
    )
    assert found == expected
    fingerprint = document["provenance"]["weights_fingerprint"]
    assert fingerprint == reference["provenance"]["weights_fingerprint"]
    assert document["provenance"]["batches_hash"] == reference["provenance"]["batches_hash"]


@pytest.mark.parametrize("way", WAYS)
def test_weights(saved, reference, way):
    """Without a model the names keep their prefix; numbers and fingerprint do not know of it."""
    document, expected = (
        done(f"weights {path} --json").document for path in (saved[way], saved["plain"])
    )
    assert numbers(document) == numbers(expected)
    assert document["answer"]["total_norm"] == expected["answer"]["total_norm"]
    fingerprint = document["provenance"]["weights_fingerprint"]
    assert fingerprint == reference["provenance"]["weights_fingerprint"]


def numbers(document: Any) -> list[tuple[Any, ...]]:
    """Return what is known of every tensor but its name, in an order of its own."""
    keys = ("shape", "dtype", "non_finite", "norm", "spectral_norm", "stable_rank")
    rows = [tuple(row[key] for key in keys) for row in document["answer"]["tensors"]]
    return sorted(rows, key=str)


def test_other_weights_have_other_numbers(tmp_path, reference):
    torch.save(filled(mlp(), 1).state_dict(), tmp_path / "final")
    document = done(f"spectrum {tmp_path / 'final'} {SUBJECT} {FAST} --json").document
    assert document["answer"]["trace"] != reference["answer"]["trace"]
    fingerprint = document["provenance"]["weights_fingerprint"]
    assert fingerprint != reference["provenance"]["weights_fingerprint"]


def test_a_tied_transformer(tmp_path):
    """`save_model` keeps one of two tied names, `torch.save` both, and the answer is the same."""
    model = transformer()
    paths = [tmp_path / "safetensors" / "final", tmp_path / "torch" / "final"]
    for path in paths:
        path.parent.mkdir()
    save_model(model, str(paths[0]))
    torch.save(model.state_dict(), paths[1])
    flags = f"--model {NETWORKS}:transformer --data {NETWORKS}:tokens"
    first, second = (done(f"spectrum {p} {flags} {FAST} --json").document for p in paths)
    assert first["answer"] == second["answer"]
    prints = {d["provenance"]["weights_fingerprint"] for d in (first, second)}
    assert len(prints) == 1
    assert first["answer"]["parameters"] == sum(p.numel() for p in model.parameters())
    alone = {
        done(f"weights {p} --json").document["provenance"]["weights_fingerprint"] for p in paths
    }
    assert alone == prints


def test_the_optimizer_beside_the_weights_is_used(saved):
    """The training dict and Lightning's hold Adam's state, from which the last step is read."""
    for way in ("training", "lightning"):
        answer = done(f"gradients {saved[way]} {SUBJECT} --json").document["answer"]
        assert answer["update_norm"]["value"] == pytest.approx(0.01 * 1210**0.5, rel=0.05)
    plain = done(f"gradients {saved['plain']} {SUBJECT} --json").document["answer"]
    assert plain["update_norm"] is None
