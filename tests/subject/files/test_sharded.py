"""Sharded safetensors are read as the one file they were cut from."""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from landscape.errors import CheckpointError, LandscapeError, UnsafeError
from landscape.subject.files.checkpoint import Checkpoint
from landscape.subject.files.inspection import inspect_file
from tests.subject.files.containers import prefixed

INDEX = "model.safetensors.index.json"
FIRST, LAST = (f"model-0000{number}-of-00002.safetensors" for number in (1, 2))


def write_index(folder: Path, weight_map: Any, name: str = INDEX) -> Path:
    document = {"metadata": {"total_size": 300}, "weight_map": weight_map}
    (folder / name).write_text(json.dumps(document))
    return folder / name


@pytest.fixture
def folder(tmp_path) -> Path:
    """The network in two shards, and their index."""
    path = tmp_path / "final"
    path.mkdir()
    state = prefixed("")
    half = len(state) // 2
    parts = {FIRST: list(state)[:half], LAST: list(state)[half:]}
    for shard, names in parts.items():
        save_file({name: state[name] for name in names}, path / shard)
    write_index(path, {name: shard for shard, names in parts.items() for name in names})
    return path


def refused(path: Path, kind: type[LandscapeError] = CheckpointError) -> LandscapeError:
    """Both ways of reading refuse, with the same words."""
    told = []
    for read in (Checkpoint.read, inspect_file):
        with pytest.raises(kind) as caught:
            read(path)
        told.append(caught.value)
    assert told[0].to_json() == told[1].to_json()
    assert told[0].hint
    return told[0]


@pytest.mark.parametrize("given", ["", INDEX])
def test_the_shards_are_one_checkpoint(folder, tmp_path, given):
    save_file(prefixed(""), tmp_path / "whole.safetensors")
    whole, found = (Checkpoint.read(p) for p in (tmp_path / "whole.safetensors", folder / given))
    assert found.fingerprint == whole.fingerprint
    assert found.tensors.keys() == whole.tensors.keys()
    assert all(torch.equal(found.tensors[name], one) for name, one in whole.tensors.items())
    assert found.container == "sharded safetensors"
    assert found.label == (given or "final")
    assert not found.notes
    assert not Checkpoint.read(folder / given, trust_pickle=True).unsafe


def test_the_digest_is_that_of_the_printed_sums(folder):
    lines = [
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n"
        for name in (INDEX, FIRST, LAST)
    ]
    expected = hashlib.sha256("".join(lines).encode()).hexdigest()
    assert Checkpoint.read(folder).sha256 == inspect_file(folder / INDEX).sha256 == expected
    content = bytearray((folder / LAST).read_bytes())
    content[-1] ^= 1
    (folder / LAST).write_bytes(content)
    assert Checkpoint.read(folder).sha256 != expected


def test_inspection_without_torch(folder):
    found = inspect_file(folder)
    state = prefixed("")
    assert found.bytes == sum(file.stat().st_size for file in folder.iterdir())
    assert found.parameters == sum(math.prod(value.shape) for value in state.values())
    assert {one.name: one.shape for one in found.tensors} == {
        name: tuple(value.shape) for name, value in state.items()
    }
    assert found.metadata == {"total_size": 300}
    assert found.notes == (f"2 shards by {INDEX}",)
    code = (
        "import sys\nfrom landscape.subject.files.inspection import inspect_file\n"
        f"inspect_file({str(folder)!r})\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("given", ["", INDEX])
def test_a_missing_shard_is_named(folder, given):
    (folder / LAST).unlink()
    error = refused(folder / given)
    assert error.exit == 3
    assert error.what == f"1 of 2 shards are missing: {LAST}"


def test_a_tensor_that_its_shard_lacks_is_named(folder):
    save_file({"other": torch.ones(2)}, folder / LAST)
    error = refused(folder)
    assert f"shard '{LAST}' does not hold" in error.what
    assert "3.bias" in error.what


def test_what_the_index_does_not_name_is_left_out_and_told(folder):
    weight_map = json.loads((folder / INDEX).read_text())["weight_map"]
    del weight_map["3.bias"]
    write_index(folder, weight_map)
    save_file({"x": torch.ones(1)}, folder / "adapter.safetensors")
    found = Checkpoint.read(folder)
    assert "3.bias" not in found.tensors
    assert found.notes == (
        "tensors of the shards that the index does not name, left out: 3.bias",
        f"{INDEX} is read; also in the folder: adapter.safetensors",
    )


@pytest.mark.parametrize(
    "shard",
    ["../x.safetensors", "/etc/passwd", "a/b.safetensors", "..", ".", "", "a/", 3, None, ["a"]],
)
def test_a_path_out_of_the_folder_is_unsafe(folder, shard):
    write_index(folder, {"w": shard})
    for given in (folder, folder / INDEX):
        error = refused(given, UnsafeError)
        assert error.exit == 4
        assert repr(shard) in error.why


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"weight_map": {', "JSONDecodeError"),
        ('{"weight_map": {"a": "b", "a": "c"}}', "twice"),
        ('{"weight_map": []}', "AttributeError"),
        ('{"weight_map": {}}', "names no tensors"),
        ('{"weight_map": ' + "[" * 200_000, "RecursionError"),
        ('{"metadata": {}}', "weight_map"),
    ],
)
def test_a_damaged_index(folder, text, why):
    (folder / INDEX).write_text(text)
    error = refused(folder)
    assert error.what == "damaged index of shards"
    assert why in error.why


@pytest.mark.parametrize("shard", ["a\0b", "x" * 5_000, "\ud800", INDEX])
def test_odd_names_of_shards(folder, shard):
    write_index(folder, {"w": shard})
    assert refused(folder).exit == 3


def test_pickled_shards_are_not_run(folder):
    torch.save(prefixed(""), folder / "pytorch_model.bin")
    (folder / INDEX).unlink()
    index = write_index(folder, {"3.bias": "pytorch_model.bin"}, "pytorch_model.bin.index.json")
    assert "'pytorch_model.bin' is torch zip, not safetensors" in refused(index).what
    assert refused(folder).hint == f"pass one file: {folder / 'pytorch_model.bin'}"


def test_which_index_is_read(folder):
    """That of safetensors beside that of pickles; of two of safetensors neither."""
    write_index(folder, {"w": "pytorch_model.bin"}, "pytorch_model.bin.index.json")
    assert Checkpoint.read(folder).tensors.keys() == prefixed("").keys()
    (folder / "ema.safetensors.index.json").write_text("{}")
    error = refused(folder)
    assert "is a directory" in error.what
    assert error.hint == f"pass one file: {folder / 'ema.safetensors.index.json'}"


def test_shards_without_their_index(folder):
    (folder / INDEX).unlink()
    assert refused(folder).hint == (
        f"put the index of the shards (*.safetensors.index.json) beside {FIRST}"
    )
