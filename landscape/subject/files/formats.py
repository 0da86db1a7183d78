"""Files that are not checkpoints, told by their first bytes, and what to do about each."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SAVE = 'save the weights with torch.save(model.state_dict(), "weights.pt")'
_EXPORT = f"load it with its own library, copy the weights into the PyTorch model and {_SAVE}"
_DOWNLOAD = "the download returned a page instead of the file: download it again"
_PASS_WEIGHTS = "pass the file that holds the weights (.safetensors, .pt, .ckpt, .bin)"
_MAGIC = (
    (b"\x1f\x8b", "gzip data", "unpack it first: gunzip < FILE > weights.pt"),
    (b"BZh", "bzip2 data", "unpack it first: bunzip2 -k FILE"),
    (b"\xfd7zXZ\x00", "xz data", "unpack it first: unxz -k FILE"),
    (b"\x28\xb5\x2f\xfd", "zstandard data", "unpack it first: unzstd FILE"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it first and pass the weights file inside"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image", _PASS_WEIGHTS),
    (b"\xff\xd8\xff", "a JPEG image", _PASS_WEIGHTS),
    (b"%PDF", "a PDF document", _PASS_WEIGHTS),
    (b"\x7fELF", "an ELF program or shared library", _PASS_WEIGHTS),
    (b"GGUF", "GGUF weights (llama.cpp)", "pass the PyTorch weights it was converted from"),
    (b"\x89HDF\r\n\x1a\n", "HDF5 data (Keras)", _EXPORT),
    (b"\x93NUMPY", "a NumPy array (.npy)", _EXPORT),
)
_LFS = re.compile(rb"version https://git-lfs\.github\.com/spec/.*?^size (\d+)", re.S | re.M)
_HTML = re.compile(rb"\s*(<!doctype\s+html|<html|<head|<\?xml)", re.I)
_ONNX = re.compile(rb"\x08[\x01-\x20][\x12\x1a\x22\x2a\x32\x3a\x42]", re.S)
_PYTHON = re.compile(rb"^(import |from \w[\w.]* import |def |class |#!.*python)", re.M)
_TORCHSCRIPT = (
    'export a state dict: m = torch.jit.load("FILE"); torch.save(m.state_dict(), "weights.pt")'
)
_PT2 = (
    "export a state dict: "
    'p = torch.export.load("FILE"); torch.save(dict(p.state_dict), "weights.pt")'
)


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """Content that is not a checkpoint: its name, and the next step."""

    name: str
    hint: str


def foreign(head: bytes, size: int) -> Foreign:
    """Return what a file that is no checkpoint holds, judged by its first bytes."""
    for magic, name, hint in _MAGIC:
        if head.startswith(magic):
            return Foreign(name=name, hint=hint)
    if head[257:262] == b"ustar":
        return Foreign(name="a tar archive", hint="unpack it first: tar -xf FILE")
    if lfs := _LFS.match(head):
        real = f"{size:,} bytes, the real file has {int(lfs[1][:20]):,}"
        return Foreign(name=f"a Git LFS pointer ({real})", hint="run: git lfs pull")
    if _ONNX.match(head):
        return Foreign(name="an ONNX model", hint=_EXPORT)
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05":
        return Foreign(name="a plain Python pickle, not written by torch.save", hint=_SAVE)
    return _text(head) or Foreign(
        name=f"of no known format (it begins with {head[:8].hex(' ')})",
        hint=_PASS_WEIGHTS,
    )


def foreign_zip(names: list[str]) -> Foreign:
    """Return what a zip that `torch.save` did not write holds, judged by its members."""
    inner = {name.partition("/")[2] for name in names} | set(names)
    if "constants.pkl" in inner or any(name.startswith("code/") for name in inner):
        return Foreign(name="a TorchScript program", hint=_TORCHSCRIPT)
    if inner & {"archive_format", "serialized_exported_program.json", "models/model.json"}:
        return Foreign(name="an exported program (.pt2)", hint=_PT2)
    if names and all(name.endswith(".npy") for name in names):
        return Foreign(name="a NumPy archive (.npz)", hint=_EXPORT)
    if "model.weights.h5" in inner or {"config.json", "metadata.json"} <= inner:
        return Foreign(name="a Keras model (.keras)", hint=_EXPORT)
    return Foreign(
        name="a zip archive that torch.save did not write",
        hint="unpack it first and pass the weights file inside",
    )


def _text(head: bytes) -> Foreign | None:
    if _HTML.match(head):
        return Foreign(name="an HTML page", hint=_DOWNLOAD)
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:  # more than a character cut by the end of the head
            return None
        text = head[: error.start].decode()
    if not text or any(ord(c) < 32 and c not in "\t\n\r\f\x1b" for c in text):
        return None
    if text.lstrip()[:1] in ("{", "["):
        return Foreign(name="JSON text", hint=_PASS_WEIGHTS)
    if _PYTHON.search(head):
        return Foreign(name="Python source", hint=_PASS_WEIGHTS)
    return Foreign(name="plain text", hint=_PASS_WEIGHTS)
