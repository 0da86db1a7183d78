"""The index of a sharded checkpoint: it may name files of its own folder only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from landscape.errors import UnsafeError

LARGEST_BYTES = 100_000_000
INDEX = "*.index.json"


def refuse_escaping_shards(path: Path) -> None:
    """Refuse an index, or a folder that holds one, whose shards lie outside the folder.

    Sharded checkpoints are not read yet; an index that points elsewhere is told as what it is.

    Raises:
        UnsafeError: A shard's name leads out of the folder.
    """
    for index in sorted(path.glob(INDEX)) if path.is_dir() else [path]:
        for shard in _shards(index):
            if not isinstance(shard, str) or Path(shard).name != shard:
                raise UnsafeError(
                    "a shard path escapes the checkpoint folder",
                    where=str(index),
                    why=f"the index names {str(shard)[:200]!r}; a shard lies beside its index",
                    hint="do not use this file; get the checkpoint again from a source you trust",
                )


def _shards(index: Path) -> list[Any]:
    try:
        if index.stat().st_size > LARGEST_BYTES:
            return []
        document = json.loads(index.read_bytes())
        return list(document["weight_map"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []
