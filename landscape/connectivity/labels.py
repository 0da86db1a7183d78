"""Names that tell checkpoints apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from landscape.subject.files.checkpoint import Checkpoint


def distinct(checkpoints: Sequence[Checkpoint]) -> tuple[str, ...]:
    """Return a name for each checkpoint: the shortest ends of the paths that are all different.

    `runs/0/final.pt` and `runs/1/final.pt` become `0/final.pt` and `1/final.pt`. What has no path
    keeps its label; names that are still the same are numbered.
    """
    parts = [PurePath(one.path).parts if one.path else (one.label,) for one in checkpoints]
    names = [one.label for one in checkpoints]
    for length in range(1, max(map(len, parts), default=0) + 1):
        names = ["/".join(part[-length:]).replace("//", "/") for part in parts]
        if len(set(names)) == len(names):
            break
    return tuple(
        f"{name} ({number})" if names.count(name) > 1 else name
        for number, name in enumerate(names, start=1)
    )
