"""The index of sharded safetensors: which tensor lies in which file, all of them beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from landscape.errors import CheckpointError, UnsafeError

LARGEST_BYTES = 100_000_000
INDEX = "*.index.json"
PICKLED = "*.bin.index.json"
PREFERRED = "*.safetensors.index.json"  # beside the index of a pickled copy


@dataclass(frozen=True, kw_only=True)
class Index:
    """What an index says.

    Args:
        path: The index.
        shards: Names of the tensors by file, files and names in the order of the index.
        metadata: Said of the whole.
    """

    path: Path
    shards: Mapping[Path, tuple[str, ...]]
    metadata: Mapping[str, Any]


def indices_in(folder: Path) -> list[Path]:
    """Return the indices in a folder; those of safetensors alone where there are any.

    That of pickled shards is none: they are not read, and a whole file may stand beside them.
    """
    found = sorted(file for file in folder.glob(INDEX) if file.is_file())
    preferred = [file for file in found if file.match(PREFERRED)]
    return preferred or [file for file in found if not file.match(PICKLED)]


def is_index(path: Path, head: bytes) -> bool:
    """Return whether a file is an index, by its first bytes and, where it is damaged, its name."""
    return head.lstrip()[:1] == b"{" and (b'"weight_map"' in head or path.match(INDEX))


def read_index(path: Path) -> Index:
    """Return the index that a path is, or that is the only one in a folder.

    Raises:
        CheckpointError: It is damaged.
        UnsafeError: The name of a shard leads out of the folder.
    """
    index = indices_in(path)[0] if path.is_dir() else path
    if index.stat().st_size > LARGEST_BYTES:
        raise _damaged(index, f"it is larger than {LARGEST_BYTES // 10**6} MB")
    try:
        document = json.loads(index.read_bytes(), object_pairs_hook=_unique)
        pairs = list(document["weight_map"].items())
        metadata = document.get("metadata")
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(index, f"{type(error).__name__}: {str(error)[:200]}") from error
    shards: dict[Path, list[str]] = {}
    for name, shard in pairs:
        _refuse_escaping(index, shard)
        shards.setdefault(index.parent / shard, []).append(name)
    if not shards:
        raise _damaged(index, "its weight_map names no tensors")
    return Index(
        path=index,
        shards={shard: tuple(names) for shard, names in shards.items()},
        metadata=metadata if isinstance(metadata, dict) else {},
    )


def _refuse_escaping(index: Path, shard: Any) -> None:
    if not isinstance(shard, str) or shard in ("", "..") or Path(shard).name != shard:
        raise UnsafeError(
            "a shard path escapes the checkpoint folder",
            where=str(index),
            why=f"the index names {str(shard)[:200]!r}; a shard lies beside its index",
            hint="do not use this file; get the checkpoint again from a source you trust",
        )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a name occurs twice")
    return document


def _damaged(index: Path, why: str) -> CheckpointError:
    return CheckpointError(
        "damaged index of shards",
        where=str(index),
        why=why,
        hint="copy or download the index again",
    )
