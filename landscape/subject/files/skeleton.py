"""The object tree of a torch file, read without torch and without running anything in it."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from landscape.errors import CheckpointError, UnsafeError
from landscape.subject.files.inert import PickleMachine
from landscape.subject.files.rebuild import storage_stub
from landscape.subject.files.sniff import Container
from landscape.subject.files.stubs import StorageStub, Stub, TensorStub, walk
from landscape.subject.files.wording import cut

__all__ = ["Skeleton", "StorageStub", "Stub", "TensorStub", "read_skeleton"]

MAX_PICKLE_BYTES = 100_000_000
MAX_EXPANSION = 1024  # entries that one stored entry may stand for, as in an expanded tensor
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


@dataclass(frozen=True, kw_only=True)
class Skeleton:
    """What a torch file says it holds.

    Args:
        tree: The saved object, with `TensorStub` leaves and a `Stub` for every other object.
        globals: The names the pickle mentions, as "module.name", in order.
        storages: The storages by key.
        protocol: The pickle protocol.
    """

    tree: Any
    globals: tuple[str, ...]
    storages: Mapping[str, StorageStub]
    protocol: int

    def tensor_names(self) -> dict[str, str]:
        """Return for each storage key the dotted path of the first tensor that uses it."""
        names: dict[str, str] = {}
        for path, tensor in walk(self.tree):
            names[tensor.storage_key] = min(path, names.get(tensor.storage_key, path))
        return names


def read_skeleton(path: Path, container: Container) -> Skeleton:
    """Return the object tree of a torch file; nothing in it is imported or called.

    Raises:
        CheckpointError: The pickle is damaged, or its storages are not in the file.
        UnsafeError: A tensor claims far more entries than are stored for it.
    """
    storages: dict[str, StorageStub] = {}

    def persistent(identifier: Any) -> Any:
        stub = storage_stub(identifier)
        if isinstance(stub, StorageStub):
            storages.setdefault(stub.key, stub)
        return stub

    machine = PickleMachine(persistent)
    try:
        if container is Container.TORCH_ZIP:
            tree = machine.load(io.BytesIO(_zip_pickle(path)))
            _check_members(path, storages)
        else:
            tree = _legacy_tree(path, machine, storages)
    except CheckpointError:
        raise
    except Exception as error:  # the bytes are anyone's, and so are the ways in which they fail
        raise CheckpointError(
            "the pickle in this file cannot be read",
            where=str(path),
            why=f"{type(error).__name__}: {str(error)[:200]}",
            hint="copy the file again from where it was saved, or save it again",
        ) from error
    _check_expansion(path, tree)
    return Skeleton(
        tree=tree,
        globals=tuple(machine.globals),
        storages=storages,
        protocol=machine.protocol,
    )


def _zip_pickle(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        (info,) = (i for i in archive.infolist() if _inner_name(i.filename) == "data.pkl")
        if max(info.file_size, info.compress_size) > MAX_PICKLE_BYTES:
            raise CheckpointError(
                f"the pickle in this file is larger than {MAX_PICKLE_BYTES:,} bytes",
                where=str(path),
                why="names and shapes take far less, and it would be held in memory whole",
                hint="save the tensors in a safetensors file",
            )
        if not any(member.CRC for member in archive.infolist()):
            del info.CRC  # saved with set_crc32_options(False): there is nothing to compare
        return archive.read(info)


def _inner_name(member: str) -> str:
    return member.partition("/")[2]


def _check_members(path: Path, storages: Mapping[str, StorageStub]) -> None:
    with zipfile.ZipFile(path) as archive:
        sizes = {_inner_name(info.filename): info.file_size for info in archive.infolist()}
    for key, storage in storages.items():
        size = sizes.get(f"data/{key}")
        if size != storage.bytes:
            found = "none" if size is None else f"{size:,}"
            raise CheckpointError(
                f"storage {cut(key)} does not fit the tensors that use it",
                where=str(path),
                why=f"expected {storage.bytes:,} bytes, got {found}",
                hint="the file is damaged: copy or save it again",
            )


def _legacy_tree(path: Path, machine: PickleMachine, storages: Mapping[str, StorageStub]) -> Any:
    with path.open("rb") as file:
        stream = io.BytesIO(file.read(MAX_PICKLE_BYTES))
    if machine.load(stream) != LEGACY_MAGIC:
        raise ValueError("the file does not begin with torch's magic number")
    machine.load(stream)  # the version of the format
    machine.load(stream)  # the byte order and the integer sizes of the machine that wrote it
    tree = machine.load(stream)
    machine.load(stream)  # the storage keys, in the order of their bytes, which follow
    needed = stream.tell() + sum(8 + storage.bytes for storage in storages.values())
    size = path.stat().st_size
    if size < needed:
        raise CheckpointError(
            f"truncated: {size:,} bytes where {needed:,} are needed; was the save interrupted?",
            where=str(path),
            why="the file ends before the numbers that it announces",
            hint="copy or save the file again",
        )
    return tree


def _check_expansion(path: Path, tree: Any) -> None:
    for name, tensor in walk(tree):
        entries = MAX_EXPANSION * (tensor.storage_bytes + 1)
        if tensor.numel > max(entries, MAX_EXPANSION**2):
            raise UnsafeError(
                f"tensor '{cut(name)}' claims {tensor.numel:,} entries; refusing",
                where=str(path),
                why=f"{tensor.storage_bytes:,} bytes are stored for it",
                hint="save the tensors in a safetensors file",
            )
