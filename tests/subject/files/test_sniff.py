from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from landscape.errors import CheckpointError
from landscape.subject.files.sniff import Container, sniff
from tests.subject.files.containers import network, pickled, save_legacy, save_safetensors


def refusal(path: Path) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        sniff(path)
    assert caught.value.exit == 3
    assert caught.value.where == str(path)
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("name", ["a.pt", "a.safetensors", "a", "a.txt"])
def test_content_decides_not_the_name(tmp_path, name):
    path = tmp_path / name
    torch.save(network().state_dict(), path)
    assert sniff(path) is Container.TORCH_ZIP
    save_legacy(network().state_dict(), path)
    assert sniff(path) is Container.TORCH_LEGACY
    save_safetensors(path)
    assert sniff(path) is Container.SAFETENSORS


def _tar(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("pickle"), io.BytesIO())


def _zip(path: Path, *names: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")


def _torchscript(path: Path) -> None:
    _zip(path, "m/data.pkl", "m/constants.pkl", "m/code/__torch__.py", "m/version")


def _npz(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, a=np.ones(3))


def _lfs(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 46827520\n")


FOREIGN = {
    "empty": (lambda p: p.write_bytes(b""), "file is empty (0 bytes)", ""),
    "zeros": (lambda p: p.write_bytes(bytes(500)), "holds 500 zero bytes", ""),
    "long zeros": (lambda p: p.write_bytes(bytes(70_000)), "begins with 65,536 zero", ""),
    "lfs": (_lfs, "Git LFS pointer (73 bytes, the real file has 46,827,520)", "git lfs pull"),
    "html": (lambda p: p.write_text("<!DOCTYPE html><p>404"), "an HTML page", "download"),
    "gzip": (lambda p: p.write_bytes(gzip.compress(b"x" * 99)), "gzip data", "gunzip"),
    "tar": (_tar, "a tar archive", "tar -xf"),
    "png": (lambda p: p.write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 40), "a PNG image", ""),
    "json": (lambda p: p.write_text('{"weights": {}}'), "JSON text", ""),
    "python": (lambda p: p.write_text("import torch\n\nx = 1\n"), "Python source", ""),
    "text": (lambda p: p.write_text("höre, das ist nur Text\n" * 9_000), "plain text", ""),
    "elf": (lambda p: p.write_bytes(b"\x7fELF\x02\x01" + b"\0" * 60), "an ELF program", ""),
    "torchscript": (_torchscript, "a TorchScript program", "torch.jit.load"),
    "npz": (_npz, "a NumPy archive (.npz)", ""),
    "onnx": (lambda p: p.write_bytes(b"\x08\x08\x12\x07pytorch\x1a\x032.4"), "an ONNX model", ""),
    "gguf": (lambda p: p.write_bytes(b"GGUF\x03\0\0\0" + b"\0" * 40), "GGUF weights", ""),
    "hdf5": (lambda p: p.write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 40), "HDF5 data", ""),
    "keras": (lambda p: _zip(p, "config.json", "metadata.json"), "a Keras model", ""),
    "pt2": (lambda p: _zip(p, "m/archive_format", "m/models/model.json"), "(.pt2)", "export.load"),
    "zip": (lambda p: _zip(p, "readme.txt"), "torch.save did not write", ""),
    "pickle": (lambda p: p.write_bytes(pickled([1, 2])), "a plain Python pickle", "torch.save"),
    "noise": (lambda p: p.write_bytes(b"\x01\xf2\xf3\x04" * 9), "01 f2 f3 04", ""),
    "one byte": (lambda p: p.write_bytes(b"\xfe"), "begins with fe", ""),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_other_content_is_named(tmp_path, kind):
    write, what, hint = FOREIGN[kind]
    path = tmp_path / "best.pt"
    write(path)
    error = refusal(path)
    assert what in error.what
    assert hint in error.hint
    assert [entry.name for entry in tmp_path.iterdir()] == ["best.pt"]


def test_missing_path_names_the_nearest(tmp_path):
    (tmp_path / "best.pt").write_bytes(b"x")
    error = refusal(tmp_path / "bset.pt")
    assert error.what == "no such file"
    assert error.hint == f"did you mean {tmp_path / 'best.pt'}?"
    assert "check the folder" in refusal(tmp_path / "nowhere" / "x.pt").hint
    assert "check the folder" in refusal(tmp_path / "best.pt" / "x.pt").hint


def test_a_missing_path_far_from_every_name_lists_those_with_its_ending(tmp_path):
    for name in ("noback.pt", "other.pt", "nope.json"):
        (tmp_path / name).write_bytes(b"x")
    assert refusal(tmp_path / "zero.pt").hint == f"{tmp_path} holds noback.pt, other.pt"
    assert refusal(tmp_path / "zero").hint == f"{tmp_path} holds noback.pt, other.pt"
    assert refusal(tmp_path / "othr").hint == f"did you mean {tmp_path / 'other.pt'}?"
    (tmp_path / "nope.json").unlink()
    (tmp_path / "one.sh").write_bytes(b"x")
    assert refusal(tmp_path / "nope.pt").hint == f"{tmp_path} holds noback.pt, other.pt"


def test_what_is_on_the_net_is_to_be_fetched_first():
    for address in ("https://nowhere.test/best.pt", "s3://bucket/best.pt"):
        assert "download it first" in refusal(Path(address)).hint
    assert "check the folder" in refusal(Path("nowhere/best.pt")).hint


def test_odd_paths(tmp_path):
    assert "cannot be read" in refusal(tmp_path / ("x" * 5_000)).what
    assert "cannot be read" in refusal(Path("a\0b")).what
    os.mkfifo(tmp_path / "pipe")
    assert refusal(tmp_path / "pipe").what == "not a regular file"


def test_directory_says_what_is_there(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    error = refusal(tmp_path)
    assert "*.safetensors" in error.why
    assert "notes.txt" in error.why
    (tmp_path / "empty.pt").touch()
    assert refusal(tmp_path).hint == "pass one file that holds weights; empty.pt cannot be opened"
    torch.save(network(), tmp_path / "filled.pt")  # a pickle that would run code
    torch.save(network().state_dict(), tmp_path / "last.pt")
    assert refusal(tmp_path).hint == f"pass one file: {tmp_path / 'last.pt'}"


def test_permission(tmp_path, monkeypatch):
    path = tmp_path / "a.pt"
    path.write_bytes(b"x")

    def denied(*_, **__):  # a mode of 0 would not stop root
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    assert refusal(path).why == "Permission denied"


@pytest.mark.parametrize("kept", [4, 100, 700, -1])
def test_truncated_zip_names_the_newest_intact_sibling(tmp_path, kept):
    torch.save(network().state_dict(), tmp_path / "old.pt")
    torch.save(network().state_dict(), tmp_path / "new.pt")
    os.utime(tmp_path / "old.pt", (1, 1))
    path = tmp_path / "cut.pt"
    path.write_bytes((tmp_path / "new.pt").read_bytes()[:kept])
    (tmp_path / "zz_also_cut.pt").write_bytes(path.read_bytes())
    error = refusal(path)
    assert error.what.startswith("truncated: no end record in the ")
    assert error.hint == f"the newest intact checkpoint beside it: {tmp_path / 'new.pt'}"


def test_a_sibling_that_would_be_refused_is_not_named(tmp_path):
    whole = tmp_path / "whole.pt"
    torch.save(network(), whole)  # a pickle that would run code
    for name in ("a.pt", "b.pt"):
        (tmp_path / name).touch()
    (tmp_path / "zeros.pt").write_bytes(bytes(100))
    (tmp_path / "cut.pt").write_bytes(whole.read_bytes()[:-1])
    for name in ("a.pt", "zeros.pt", "cut.pt"):
        assert refusal(tmp_path / name).hint == "copy or save the file again"
    torch.save(network().state_dict(), tmp_path / "good.pt")
    os.utime(tmp_path / "good.pt", (1, 1))
    for name in ("a.pt", "zeros.pt", "cut.pt"):
        assert refusal(tmp_path / name).hint.endswith(f": {tmp_path / 'good.pt'}")


def test_reading_headers_needs_no_torch():
    modules = ["sniff", "skeleton", "safetensors_file", "inspection", "names", "torch_file"]
    lines = [f"import landscape.subject.files.{module}" for module in modules]
    code = "import sys\n" + "\n".join(lines) + "\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": "."})


def test_error_is_json(tmp_path):
    assert json.dumps(refusal(tmp_path / "x").to_json())
