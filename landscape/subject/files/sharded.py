"""Sharded safetensors: the files that an index names, read as one."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from landscape.errors import CheckpointError
from landscape.subject.files.fingerprint import file_sha256
from landscape.subject.files.safetensors_file import Entry, load_safetensors, read_header
from landscape.subject.files.shards import Index, read_index
from landscape.subject.files.sniff import WEIGHTS, Container, sniff
from landscape.subject.files.wording import cut, listed

if TYPE_CHECKING:
    from torch import Tensor


def read_entries(path: Path) -> tuple[Index, dict[str, Entry], tuple[str, ...]]:
    """Return the index, its tensors as the headers describe them, and notes.

    Args:
        path: The index, or the folder that holds it.

    Raises:
        CheckpointError: A shard is missing, is no safetensors file, or lacks a tensor.
        UnsafeError: The name of a shard leads out of the folder.
    """
    index = read_index(path)
    _refuse_missing(index)
    entries: dict[str, Entry] = {}
    beside: list[str] = []
    for shard, names in index.shards.items():
        _refuse_other(index, shard)
        header = read_header(shard).tensors
        if lost := [name for name in names if name not in header]:
            raise CheckpointError(
                f"shard '{cut(shard.name)}' does not hold {len(lost):,} of the tensors that "
                f"the index places in it: {listed(lost)}",
                where=str(index.path),
                why="the index and the shards are of different checkpoints, or one was changed",
                hint="copy or download index and shards again, together",
            )
        entries |= {name: header[name] for name in names}
        beside += header
    return index, entries, (*_unnamed(beside, entries), *_aside(path, index))


def load_shards(path: Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return the tensors that an index names, on the CPU, and notes; see `read_entries`."""
    index, _, notes = read_entries(path)
    tensors: dict[str, Tensor] = {}
    for shard, names in index.shards.items():
        held = load_safetensors(shard)
        tensors |= {name: held[name] for name in names}
    return tensors, notes


def files_sha256(index: Index) -> str:
    """Return the SHA-256 of what `sha256sum INDEX SHARD…` prints, with shards by name."""
    lines = (f"{file_sha256(file)}  {file.name}\n" for file in (index.path, *sorted(index.shards)))
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _unnamed(held: list[str], entries: Mapping[str, Entry]) -> tuple[str, ...]:
    left = [name for name in held if name not in entries]
    note = f"tensors of the shards that the index does not name, left out: {listed(left)}"
    return (note,) if left else ()


def _aside(path: Path, index: Index) -> tuple[str, ...]:
    """Return a note on the other weights of a folder, which could have been meant."""
    if not path.is_dir():
        return ()
    present = sorted(file for pattern in WEIGHTS for file in path.glob(pattern))
    others = [file.name for file in present if file not in index.shards]
    note = f"{cut(index.path.name)} is read; also in the folder: {listed(others)}"
    return (note,) if others else ()


def _refuse_missing(index: Index) -> None:
    if missing := [shard.name for shard in index.shards if not os.path.exists(shard)]:
        raise CheckpointError(
            f"{len(missing):,} of {len(index.shards):,} shards are missing: {listed(missing)}",
            where=str(index.path),
            why="the copy or the download was interrupted",
            hint=f"put the missing files into {index.path.parent}",
        )


def _refuse_other(index: Index, shard: Path) -> None:
    container = sniff(shard)
    if container is not Container.SAFETENSORS:
        raise CheckpointError(
            f"shard '{cut(shard.name)}' is {container}, not safetensors",
            where=str(index.path),
            why="only shards in safetensors are read",
            hint="save the weights again as safetensors, or as one file",
        )
