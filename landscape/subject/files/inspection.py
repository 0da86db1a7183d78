"""What a checkpoint file holds, read without torch and without running anything in it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from landscape.errors import CheckpointError
from landscape.subject.files.allowlist import refused
from landscape.subject.files.contents import Contents, find_contents
from landscape.subject.files.fingerprint import file_sha256
from landscape.subject.files.safetensors_file import Entry, read_header
from landscape.subject.files.sharded import files_sha256, read_entries
from landscape.subject.files.shards import Index
from landscape.subject.files.skeleton import read_skeleton
from landscape.subject.files.sniff import Container, name_note, sniff
from landscape.subject.files.stubs import TensorStub
from landscape.subject.files.torch_zip import check_zip, checksum_note
from landscape.subject.files.wording import cut

MAX_METADATA = 100
MAX_VALUE = 200
MAX_INTEGER = 2**64


@dataclass(frozen=True, kw_only=True)
class TensorInfo:
    """One tensor, without its numbers."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What a checkpoint file says it holds.

    Args:
        path: The file.
        bytes: Its size; of sharded safetensors that of index and shards.
        container: Its format.
        producer: What wrote it, as far as its keys tell.
        sha256: Of the file; None where it was not verified.
        tensors: The weights, in the order of the file.
        parameters: Entries of the weights, tied tensors once. Buffers count too: a file does
            not tell them apart.
        dtypes: Tensors of each dtype.
        globals: The names that its pickle mentions.
        unsafe_globals: Those beyond tensors and plain data; they make loading refuse.
        metadata: Plain values saved beside the weights.
        optimizer: Whether an optimizer's state is beside the weights.
        step: Optimizer steps taken, where the file says so.
        epoch: Epochs finished, where the file says so.
        notes: What was chosen, left out or not found.
    """

    path: str
    bytes: int
    container: str
    producer: str
    sha256: str | None
    tensors: tuple[TensorInfo, ...]
    parameters: int
    dtypes: Mapping[str, int]
    globals: tuple[str, ...] = ()
    unsafe_globals: tuple[str, ...] = ()
    metadata: Mapping[str, str | int | float | bool | None]
    optimizer: bool = False
    step: int | None = None
    epoch: int | None = None
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Return plain JSON values; numbers that JSON does not have become strings."""
        document = asdict(self)
        document["metadata"] = {
            name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in self.metadata.items()
        }
        return document


def inspect_file(path: str | Path, *, verify: bool = True) -> Inspection:
    """Return what a checkpoint file holds.

    Args:
        path: The file.
        verify: Read every byte, for the SHA-256 and the checksums of a torch zip. Without it
            only the header of a safetensors file is read, and the pickle of a torch file.

    Raises:
        CheckpointError: The file is no readable checkpoint.
        UnsafeError: The file hides what it holds.
    """
    path = Path(path)
    container = sniff(path)
    if container is Container.SAFETENSORS:
        return _of_safetensors(path, verify)
    if container is Container.SHARDED:
        return _of_shards(path, verify)
    return _of_torch(path, container, verify)


def _of_safetensors(path: Path, verify: bool) -> Inspection:
    header = read_header(path)
    tensors = _tensors(header.tensors)
    return Inspection(
        path=str(path),
        bytes=path.stat().st_size,
        container=Container.SAFETENSORS,
        producer="state dict",
        sha256=file_sha256(path) if verify else None,
        tensors=tensors,
        parameters=sum(math.prod(tensor.shape) for tensor in tensors),
        dtypes=_dtypes(tensors),
        metadata=_plain(header.metadata),
        notes=name_note(path, Container.SAFETENSORS),
    )


def _of_shards(path: Path, verify: bool) -> Inspection:
    index, entries, notes = read_entries(path)
    tensors = _tensors(entries)
    files = (index.path, *index.shards)
    return Inspection(
        path=str(path),
        bytes=sum(file.stat().st_size for file in files),
        container=Container.SHARDED,
        producer="state dict",
        sha256=files_sha256(index) if verify else None,
        tensors=tensors,
        parameters=sum(math.prod(tensor.shape) for tensor in tensors),
        dtypes=_dtypes(tensors),
        metadata=_plain(index.metadata),
        notes=(*name_note(path, Container.SHARDED), _files(index), *notes),
    )


def _files(index: Index) -> str:
    shards = f"{len(index.shards):,} shard{'s' * (len(index.shards) != 1)}"
    return f"{shards} by {cut(index.path.name)}"


def _tensors(entries: Mapping[str, Entry]) -> tuple[TensorInfo, ...]:
    return tuple(
        TensorInfo(name=name, dtype=entry.dtype, shape=entry.shape)
        for name, entry in entries.items()
    )


def _of_torch(path: Path, container: Container, verify: bool) -> Inspection:
    notes = name_note(path, container)
    if container is Container.TORCH_ZIP:
        notes += checksum_note(path)
        if verify:
            check_zip(path)
    skeleton = read_skeleton(path, container)
    contents, found = _contents(skeleton.tree, path)
    stubs = contents.tensors if contents else {}
    tensors = tuple(
        TensorInfo(name=name, dtype=str(stub.dtype), shape=tuple(stub.shape))
        for name, stub in stubs.items()
    )
    return Inspection(
        path=str(path),
        bytes=path.stat().st_size,
        container=container,
        producer=contents.producer if contents else "unknown",
        sha256=file_sha256(path) if verify else None,
        tensors=tensors,
        parameters=_entries(stubs),
        dtypes=_dtypes(tensors),
        globals=skeleton.globals,
        unsafe_globals=refused(skeleton.globals),
        metadata=_plain(skeleton.tree),
        optimizer=contents is not None and contents.optimizer is not None,
        step=contents.step if contents else None,
        epoch=contents.epoch if contents else None,
        notes=notes + found,
    )


def _contents(tree: object, path: Path) -> tuple[Contents | None, tuple[str, ...]]:
    try:
        contents = find_contents(tree, where=str(path))
    except CheckpointError as error:  # a file without weights can still be looked at
        return None, (error.what,)
    return contents, contents.notes


def _entries(stubs: Mapping[str, Any]) -> int:
    """Return the entries of the tensors, those that share their memory once."""
    places: dict[tuple[object, ...], TensorStub] = {
        (stub.storage_key, stub.offset, stub.shape, stub.stride): stub for stub in stubs.values()
    }
    return sum(stub.numel for stub in places.values())


def _dtypes(tensors: tuple[TensorInfo, ...]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for tensor in tensors:
        counts[tensor.dtype] = counts.get(tensor.dtype, 0) + 1
    return counts


def _plain(tree: object) -> dict[str, str | int | float | bool | None]:
    """Return the plain values at the top of a mapping and in its `hyper_parameters`."""
    top = tree if isinstance(tree, Mapping) else {}
    settings = top.get("hyper_parameters")
    pairs = [(key, value) for key, value in top.items() if isinstance(key, str)]
    if isinstance(settings, Mapping):
        pairs += [(f"hyper_parameters.{key}", value) for key, value in settings.items()]
    plain = {
        key[:MAX_VALUE]: value[:MAX_VALUE] if isinstance(value, str) else value
        for key, value in pairs
        if value is None
        or isinstance(value, str | float)
        or (isinstance(value, int) and abs(value) < MAX_INTEGER)
    }
    return dict(list(plain.items())[:MAX_METADATA])
