from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from landscape.errors import CheckpointError, UnsafeError
from landscape.subject.files.checkpoint import Checkpoint, name_of
from landscape.subject.files.names import match_names
from tests.subject.files.containers import (
    WAYS,
    lightning,
    network,
    optimizer_state,
    prefixed,
    save_legacy,
    save_safetensors,
    training,
)


def saved(content: object, path: Path) -> Path:
    torch.save(content, path)
    return path


@pytest.mark.parametrize("way", WAYS)
def test_one_network_has_one_fingerprint_in_every_container(tmp_path, way):
    path = tmp_path / "x.bin"
    WAYS[way](path)
    checkpoint = Checkpoint.read(path)
    model = network()
    expected = Checkpoint.of_model(model)
    assert checkpoint.fingerprint == expected.fingerprint
    found = match_names(
        {name: tuple(tensor.shape) for name, tensor in checkpoint.tensors.items()},
        {name: tuple(tensor.shape) for name, tensor in expected.tensors.items()},
        required=[name for name, _ in model.named_parameters()],
        aliases={},
        where=str(path),
    )
    assert set(found.mapping) == set(expected.tensors)
    for name, source in found.mapping.items():
        assert torch.equal(checkpoint.tensors[source], expected.tensors[name])
        assert not checkpoint.tensors[source].requires_grad
    assert not checkpoint.unsafe
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.bin"]


def test_lightning(tmp_path):
    found = Checkpoint.read(saved(lightning(), tmp_path / "a.ckpt"))
    assert found.producer == "Lightning 2.4"
    assert (found.epoch, found.step, found.learning_rate) == (12, 340, 0.02)
    assert found.optimizer is not None
    assert set(found.optimizer) == {"state", "param_groups"}
    assert (found.label, found.container) == ("a.ckpt", "torch zip")
    assert found.notes == ()


def test_training_dict(tmp_path):
    found = Checkpoint.read(saved(training(), tmp_path / "a.pt"))
    assert (found.producer, found.epoch, found.step) == ("training dict", 3, 90)
    state = optimizer_state()
    state["param_groups"].append(state["param_groups"][0] | {"lr": 0.1})
    found = Checkpoint.read(saved(training() | {"optimizer": state}, tmp_path / "a.pt"))
    assert found.learning_rate == 0.02
    assert found.notes == ("parameter groups differ in learning rate; the first, 0.02, is used",)


def test_wrong_suffix_is_a_note(tmp_path):
    save_safetensors(tmp_path / "a.pt")
    assert Checkpoint.read(tmp_path / "a.pt").notes == (
        "the content is safetensors, although the name ends in .pt",
    )
    saved(prefixed(""), tmp_path / "b.safetensors")
    assert "content is torch zip" in Checkpoint.read(tmp_path / "b.safetensors").notes[0]


def test_averaged_weights_are_never_silent(tmp_path):
    average = {name: value + 1 for name, value in prefixed("").items()}
    path = saved({"model": prefixed(""), "ema": {"module": average}}, tmp_path / "a.pt")
    found = Checkpoint.read(path)
    assert found.notes == ("`model` is used; averaged weights `ema.module` are there too (--ema)",)
    assert torch.equal(found.tensors["0.bias"], prefixed("")["0.bias"])
    assert Checkpoint.read(path, ema=False).notes == ()
    chosen = Checkpoint.read(path, ema=True)
    assert torch.equal(chosen.tensors["0.bias"], average["0.bias"])
    assert chosen.notes == ("averaged weights `ema.module` are used",)
    only = saved({"ema": average, "epoch": 1}, tmp_path / "b.pt")
    assert "only averaged weights" in Checkpoint.read(only).notes[0]
    with pytest.raises(CheckpointError, match="no model weights"):
        Checkpoint.read(only, ema=False)
    with pytest.raises(CheckpointError, match=r"no averaged \(EMA\) weights"):
        Checkpoint.read(saved(prefixed(""), tmp_path / "c.pt"), ema=True)


def test_the_same_weights_under_two_keys(tmp_path):
    weights = prefixed("")
    path = saved({"ema": weights, "model": weights, "net": weights}, tmp_path / "a.pt")
    assert Checkpoint.read(path).notes == (
        "`model` is used; also there: net (--state-key)",
        "`model` is used; averaged weights `ema` are there too (--ema)",
    )


def test_state_key(tmp_path):
    content = {"nets": {"g.x": prefixed("g."), "d": prefixed("d.")}, "list": [prefixed("l.")]}
    path = saved(content, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="several sets of weights") as caught:
        Checkpoint.read(path)
    assert "nets.g.x, nets.d" in caught.value.why
    assert "d.0.bias" in Checkpoint.read(path, state_key="nets.d").tensors
    assert "g.0.bias" in Checkpoint.read(path, state_key="nets.g.x").tensors
    assert "l.0.bias" in Checkpoint.read(path, state_key="list.0").tensors
    for wrong in ("nets.e", "nets", "list.7", "", ".", "nets.d.d.0.bias"):
        with pytest.raises(CheckpointError) as caught:
            Checkpoint.read(path, state_key=wrong)
        assert "nets.g.x, nets.d" in caught.value.why


def test_state_key_may_be_a_prefix_of_names(tmp_path):
    path = saved({"state_dict": prefixed("online.") | prefixed("target.")}, tmp_path / "a.pt")
    found = Checkpoint.read(path, state_key="target")
    assert set(found.tensors) == set(prefixed(""))


@pytest.mark.parametrize(
    ("content", "keys"),
    [
        ({"epoch": 3, "optimizer": {}}, "keys: epoch, optimizer"),
        ({"epoch": 3, "loss": torch.tensor(0.5)}, "keys: epoch, loss"),
        ({}, "keys: none"),
        ([torch.ones(3)], "keys: none, the file holds a list"),
        (torch.ones(3), "keys: none, the file holds a Tensor"),
        (3, "keys: none, the file holds a int"),
        (optimizer_state(), "keys: state, param_groups"),
        ({"optimizer_state_dict": optimizer_state()}, "keys: optimizer_state_dict"),
    ],
)
def test_no_weights(tmp_path, content, keys):
    with pytest.raises(CheckpointError) as caught:
        Checkpoint.read(saved(content, tmp_path / "a.pt"))
    assert caught.value.what == f"no model weights found; {keys}"
    assert caught.value.hint


def test_what_is_no_tensor_is_left_out(tmp_path):
    content = prefixed("") | {"0._extra_state": {"scale": torch.ones(1)}, "version": 2, 7: "x"}
    found = Checkpoint.read(saved(content, tmp_path / "a.pt"))
    assert set(found.tensors) == set(prefixed(""))
    assert found.notes == ("left out, as not tensors: 0._extra_state, version, 7",)


def test_plain_data_beside_the_weights(tmp_path):
    content = {
        "model": prefixed(""),
        "args": argparse.Namespace(width=5),
        "score": np.float64(0.5),
        "history": np.arange(3.0),
        "epoch": np.int64(4),
        "kinds": {1, 2},
        "raw": b"abc",
        "step": torch.tensor(70),
    }
    before = torch.serialization.get_safe_globals()
    found = Checkpoint.read(saved(content, tmp_path / "a.pt"))
    assert (found.epoch, found.step) == (4, 70)
    save_legacy(content, tmp_path / "b.pt")
    assert Checkpoint.read(tmp_path / "b.pt").epoch == 4
    assert torch.serialization.get_safe_globals() == before


class Own(nn.Linear):
    """A class of the user's."""


def test_pickled_module_is_refused_and_loads_on_request(tmp_path):
    path = saved(Own(3, 2), tmp_path / "a.pt")
    with pytest.raises(UnsafeError) as caught:
        Checkpoint.read(path)
    error = caught.value
    assert error.exit == 4
    assert "Own" in error.why
    for remedy in ("state_dict", "safetensors", "--trust-pickle"):
        assert remedy in error.hint
    found = Checkpoint.read(path, trust_pickle=True)
    assert found.unsafe
    assert (found.producer, set(found.tensors)) == ("pickled module", {"weight", "bias"})
    assert not found.tensors["weight"].requires_grad
    inner = saved({"model": Own(3, 2), "epoch": 2}, tmp_path / "b.pt")
    assert set(Checkpoint.read(inner, trust_pickle=True).tensors) == {"weight", "bias"}


def test_trust_of_safetensors_is_not_unsafe(tmp_path):
    save_safetensors(tmp_path / "a.safetensors")
    assert not Checkpoint.read(tmp_path / "a.safetensors", trust_pickle=True).unsafe


def test_later_pickle_protocol(tmp_path):
    torch.save(prefixed(""), tmp_path / "a.pt", pickle_protocol=4)
    with pytest.raises(CheckpointError, match="pickle protocol 4"):
        Checkpoint.read(tmp_path / "a.pt")


@pytest.mark.parametrize(
    ("name", "tensor", "kind"),
    [
        ("layer.SCB", torch.ones(3), "quantised"),
        ("layer.qweight", torch.ones(3, dtype=torch.int32), "quantised"),
        ("layer.weight.quant_state.bitsandbytes__nf4", torch.ones(3), "quantised"),
        ("layer.weight", torch.ones(3, dtype=torch.complex64), "complex (complex64)"),
        ("layer.weight", torch.ones(3).to_sparse(), "sparse (sparse_coo)"),
        ("layer.weight", torch.ones(3, device="meta"), "on the meta device"),
        ("layer.weight", torch.ones(3).to(torch.float8_e5m2), "of dtype float8_e5m2"),
    ],
)
def test_unusable_tensors_are_named(tmp_path, name, tensor, kind):
    path = saved({"other.weight": torch.ones(2), name: tensor}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError) as caught:
        Checkpoint.read(path)
    assert f"tensor '{name}' is {kind}" in caught.value.what


def test_model_without_numbers():
    with pytest.raises(CheckpointError, match="tensor 'weight' is on the meta device"):
        Checkpoint.of_model(nn.Linear(2, 2, device="meta"))


def test_step_without_a_number(tmp_path):
    content = {"model": prefixed(""), "step": torch.tensor(3, device="meta"), "epoch": float("nan")}
    found = Checkpoint.read(saved(content, tmp_path / "a.pt"))
    assert (found.step, found.epoch) == (None, None)


def test_half_precision_and_masks_stay(tmp_path):
    content = {
        "w": torch.ones(3, dtype=torch.bfloat16),
        "h": torch.ones(3, dtype=torch.float16),
        "mask": torch.ones(3, dtype=torch.bool),
        "count": torch.tensor(3),
    }
    save_file(content, tmp_path / "a")
    found = Checkpoint.read(tmp_path / "a")
    assert {name: value.dtype for name, value in found.tensors.items()} == {
        name: value.dtype for name, value in content.items()
    }


def test_environment_cannot_turn_safety_off(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    path = saved({"model": prefixed(""), "x": os.getcwd}, tmp_path / "a.pt")
    with pytest.raises(UnsafeError):
        Checkpoint.read(path)


def test_a_folder_has_its_name_by_whatever_dots(tmp_path, monkeypatch):
    (tmp_path / "run" / "inside").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "run" / "inside")
    names = [name_of(Path(path)) for path in (".", "..", "../inside", "final.pt")]
    assert names == ["inside", "run", "inside", "final.pt"]
