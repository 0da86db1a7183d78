"""The order of a run's checkpoints: that of training, not that of a shell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from landscape.subject.files.checkpoint import Checkpoint

FEWEST = 3  # two are a pair in the order that was asked for


def in_order(checkpoints: Sequence[Checkpoint]) -> tuple[Checkpoint, ...]:
    """Return the checkpoint files of one folder by their steps, or else their epochs.

    `run/*.pt` names step50.pt after step200.pt. Anything else keeps its order: two checkpoints,
    those of several folders, and those whose files do not all tell a step or epoch of their own.
    """
    folders = {Path(one.path).parent if one.path else None for one in checkpoints}
    if len(checkpoints) >= FEWEST and len(folders) == 1 and None not in folders:
        for places in ([one.step for one in checkpoints], [one.epoch for one in checkpoints]):
            known = [place for place in places if place is not None]
            if len(set(known)) == len(checkpoints):
                order = sorted(range(len(known)), key=known.__getitem__)
                return tuple(checkpoints[place] for place in order)
    return tuple(checkpoints)
