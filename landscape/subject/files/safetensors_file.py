"""Safetensors files: their header without torch, and their tensors."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landscape.errors import CheckpointError
from landscape.subject.files.encoding import is_utf8
from landscape.subject.files.wording import cut

if TYPE_CHECKING:
    from torch import Tensor

MAX_HEADER_BYTES = 100_000_000
MAX_DIMENSIONS = 64
_MAX_EXTENT = 2**63
_DTYPES = {  # name in the file: (torch's name, bits of one entry)
    "BOOL": ("bool", 8),
    "U8": ("uint8", 8),
    "I8": ("int8", 8),
    "U16": ("uint16", 16),
    "I16": ("int16", 16),
    "U32": ("uint32", 32),
    "I32": ("int32", 32),
    "U64": ("uint64", 64),
    "I64": ("int64", 64),
    "F4": ("float4_e2m1fn_x2", 4),
    "F6_E2M3": ("float6_e2m3", 6),
    "F6_E3M2": ("float6_e3m2", 6),
    "F8_E4M3": ("float8_e4m3fn", 8),
    "F8_E4M3FNUZ": ("float8_e4m3fnuz", 8),
    "F8_E5M2": ("float8_e5m2", 8),
    "F8_E5M2FNUZ": ("float8_e5m2fnuz", 8),
    "F8_E8M0": ("float8_e8m0fnu", 8),
    "F16": ("float16", 16),
    "BF16": ("bfloat16", 16),
    "F32": ("float32", 32),
    "F64": ("float64", 64),
    "C64": ("complex64", 64),
}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One tensor as the header describes it."""

    dtype: str  # torch's name: "float32"
    shape: tuple[int, ...]
    begin: int  # bytes after the header
    end: int

    @property
    def bytes(self) -> int:
        """The bytes that the tensor takes in the file."""
        return self.end - self.begin


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a safetensors file says it holds."""

    tensors: Mapping[str, Entry]
    metadata: Mapping[str, str]
    bytes: int  # of the header, its length field included


def read_header(path: Path) -> Header:
    """Return the validated header of a safetensors file; no tensor is read.

    Raises:
        CheckpointError: The header is damaged, or its tensors do not fill the file exactly.
    """
    path = Path(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > MAX_HEADER_BYTES:
            raise _damaged(path, f"the header claims {length:,} bytes; at most 100 MB are read")
        if 8 + length > size:
            raise _truncated(path, 8 + length, size)
        text = file.read(length)
    try:
        document = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
        if not isinstance(document, dict):
            raise TypeError("the header is no JSON object")
        metadata = _metadata(document.pop("__metadata__", {}))
        tensors = {name: _entry(name, fields) for name, fields in document.items()}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _damaged(path, f"{type(error).__name__}: {str(error)[:200]}") from error
    _check_layout(path, tensors, size - 8 - length)
    return Header(tensors=tensors, metadata=metadata, bytes=8 + length)


def load_safetensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, on the CPU.

    Raises:
        CheckpointError: The file is damaged, or holds a dtype that torch does not have.
    """
    from safetensors.torch import load, load_file

    read_header(path)
    try:
        return load_file(str(path)) if is_utf8(path) else load(path.read_bytes())
    except Exception as error:  # safetensors and torch each have their own exceptions
        raise _damaged(path, f"{type(error).__name__}: {str(error)[:200]}") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a name occurs twice in the header")
    return document


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON number")


def _metadata(document: Any) -> dict[str, str]:
    if not isinstance(document, dict) or not all(isinstance(v, str) for v in document.values()):
        raise TypeError("the metadata is no mapping of strings")
    return document


def _entry(name: str, fields: Any) -> Entry:
    dtype, bits = _DTYPES[fields["dtype"]]
    shape = tuple(fields["shape"])
    begin, end = fields["data_offsets"]
    counts = (*shape, begin, end)
    if len(shape) > MAX_DIMENSIONS or not all(
        type(count) is int and 0 <= count < _MAX_EXTENT for count in counts
    ):
        raise ValueError(f"tensor '{cut(name)}' has a shape or place that is no count")
    needed = math.prod(shape) * bits
    if needed != 8 * (end - begin):
        raise ValueError(f"tensor '{cut(name)}' has {end - begin} bytes, needs {needed / 8:.0f}")
    return Entry(dtype=dtype, shape=shape, begin=begin, end=end)


def _check_layout(path: Path, tensors: Mapping[str, Entry], data_bytes: int) -> None:
    position = 0
    for entry in sorted(tensors.values(), key=lambda e: (e.begin, e.end)):
        if entry.begin != position:
            raise _damaged(path, f"a hole or an overlap at byte {position:,} of the tensors")
        position = entry.end
    if position > data_bytes:
        raise _truncated(path, position, data_bytes)
    if position < data_bytes:
        raise _damaged(path, f"{data_bytes - position:,} bytes after the last tensor")


def _damaged(path: Path, why: str) -> CheckpointError:
    return CheckpointError(
        "damaged safetensors file",
        where=str(path),
        why=why,
        hint="copy the file again from where it was saved, or save it again",
    )


def _truncated(path: Path, needed: int, found: int) -> CheckpointError:
    return CheckpointError(
        f"truncated safetensors file: {found:,} bytes where {needed:,} are needed",
        where=str(path),
        why="the save, the copy or the download was interrupted",
        hint="copy or download the file again",
    )
