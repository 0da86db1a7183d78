from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from landscape.errors import CheckpointError
from landscape.subject.files.checkpoint import Checkpoint
from landscape.subject.files.inspection import TensorInfo, inspect_file
from tests.subject.files.containers import (
    WAYS,
    RunsOnLoad,
    lightning,
    network,
    prefixed,
    save_legacy,
)


@pytest.mark.parametrize("way", WAYS)
def test_agrees_with_what_loads(tmp_path, way):
    path = tmp_path / "a.pt"
    WAYS[way](path)
    seen, loaded = inspect_file(path), Checkpoint.read(path)
    assert {t.name: (t.dtype, t.shape) for t in seen.tensors} == {
        name: (str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape))
        for name, tensor in loaded.tensors.items()
    }
    assert (seen.sha256, seen.container) == (loaded.sha256, loaded.container)
    assert (seen.producer, seen.step, seen.epoch) == (
        loaded.producer,
        loaded.step,
        loaded.epoch,
    )
    assert seen.optimizer is (loaded.optimizer is not None)
    assert seen.parameters == sum(tensor.numel() for tensor in loaded.tensors.values())
    assert seen.unsafe_globals == ()
    assert json.loads(json.dumps(seen.to_json()))["bytes"] == path.stat().st_size


def test_no_torch_is_imported(tmp_path):
    torch.save(lightning(), tmp_path / "a.ckpt")
    save_file(prefixed(""), tmp_path / "a.safetensors", metadata={"format": "pt"})
    code = (
        "import sys; from landscape.subject.files.inspection import inspect_file\n"
        "for path in sys.argv[1:]: assert inspect_file(path).tensors\n"
        "assert not {'torch', 'numpy', 'safetensors'} & set(sys.modules)"
    )
    paths = [str(path) for path in tmp_path.iterdir()]
    subprocess.run([sys.executable, "-c", code, *paths], check=True, env={"PYTHONPATH": "."})


def test_metadata(tmp_path):
    torch.save(lightning() | {"best": float("nan")}, tmp_path / "a.ckpt")
    seen = inspect_file(tmp_path / "a.ckpt")
    assert seen.metadata["hyper_parameters.name"] == "small"
    assert seen.metadata["epoch"] == 12
    assert seen.to_json()["metadata"]["best"] == "nan"  # type: ignore[index]
    save_file(prefixed(""), tmp_path / "b", metadata={"format": "pt"})
    assert inspect_file(tmp_path / "b").metadata == {"format": "pt"}


def test_globals_of_a_hostile_file_are_listed(tmp_path):
    import os

    torch.save(prefixed("") | {"x": RunsOnLoad(os.system, "exit")}, tmp_path / "a.pt")
    seen = inspect_file(tmp_path / "a.pt")
    assert seen.unsafe_globals == (f"{os.system.__module__}.system",)
    assert "torch._utils._rebuild_tensor_v2" in seen.globals
    assert len(seen.tensors) == len(prefixed(""))


@pytest.mark.parametrize("save", [torch.save, save_legacy])
@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
def test_tensors_of_a_pickled_module_are_named(tmp_path, save):
    model = nn.Sequential(nn.Linear(3, 2), nn.Sequential(nn.BatchNorm1d(2)))
    save(model, tmp_path / "a.pt")
    seen = inspect_file(tmp_path / "a.pt")
    assert seen.producer == "pickled module"
    assert {t.name for t in seen.tensors} == set(model.state_dict())
    assert TensorInfo(name="0.weight", dtype="float32", shape=(2, 3)) in seen.tensors
    assert "torch.nn.modules.linear.Linear" in seen.unsafe_globals


def test_tied_tensors_count_once(tmp_path):
    shared = torch.ones(4, 2, dtype=torch.bfloat16)
    torch.save({"a": shared, "b": shared, "c": shared[1]}, tmp_path / "a.pt")
    seen = inspect_file(tmp_path / "a.pt")
    assert seen.parameters == 8 + 2
    assert seen.dtypes == {"bfloat16": 3}


def test_every_dtype_and_form(tmp_path):
    kinds = [torch.float64, torch.uint16, torch.float8_e4m3fn, torch.complex64, torch.bool]
    content = {str(kind): torch.ones(2, 3).to(kind) for kind in kinds}
    content["parameter"] = nn.Parameter(torch.ones(3))
    torch.save(content, tmp_path / "a.pt")
    seen = inspect_file(tmp_path / "a.pt")
    assert {f"torch.{t.dtype}" for t in seen.tensors if t.name in map(str, kinds)} == set(
        map(str, kinds)
    )
    assert TensorInfo(name="parameter", dtype="float32", shape=(3,)) in seen.tensors


def test_file_without_weights_is_still_shown(tmp_path):
    torch.save({"epoch": 3, "history": [1, 2]}, tmp_path / "a.pt")
    seen = inspect_file(tmp_path / "a.pt")
    assert (seen.producer, seen.tensors) == ("unknown", ())
    assert seen.notes == ("no model weights found; keys: epoch, history",)


def test_file_without_checksums_says_so(tmp_path):
    WAYS["without checksums"](tmp_path / "a.pt")
    assert "no checksums" in inspect_file(tmp_path / "a.pt").notes[0]
    assert "no checksums" in Checkpoint.read(tmp_path / "a.pt").notes[0]


def test_without_verification(tmp_path):
    torch.save(network().state_dict(), tmp_path / "a.pt")
    assert inspect_file(tmp_path / "a.pt", verify=False).sha256 is None
    with pytest.raises(CheckpointError, match="no such file"):
        inspect_file(tmp_path / "b.pt")
