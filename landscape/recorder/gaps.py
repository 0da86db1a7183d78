"""What a log does not hold of its run: steps that failed, tensors that came or went."""

from __future__ import annotations

from landscape.recorder.history import History
from landscape.recorder.verdict import Verdict, counted, listed


def failures(history: History) -> list[Verdict]:
    """Return whether something went wrong in recording itself."""
    if not history.failed:
        return []
    first = history.failed[0]
    count = len({one["step"] for one in history.failed})
    return [
        Verdict(
            kind="recording failed",
            severity="warning",
            sentence=f"Recording failed at {counted(count, 'step')}, first at step "
            f"{first['step']}; what was to be seen of them is not there.",
            evidence=f"In {first['where']}: {first['error'][:300]}",
            advice="Training was not touched; with details_every=0 fewer hooks are needed.",
            step=first["step"],
        )
    ]


def changes(history: History) -> list[Verdict]:
    """Return whether other tensors train than at the beginning."""
    if not history.changed:
        return []
    first = history.changed[0]
    thawed = tuple(name for one in history.changed for name in one["thawed"])
    frozen = tuple(name for one in history.changed for name in one["frozen"])
    told = [f"began to train: {listed(thawed)}"] if thawed else []
    told += [f"ceased to train: {listed(frozen)}"] if frozen else []
    before, after = first["held"][0], history.changed[-1]["held"][1]
    if before != after:
        told.append(f"the optimizer held {counted(before, 'tensor')}, then {after}")
    if not told:
        told = ["the groups of the optimizer were put in another order"]
    return [
        Verdict(
            kind="other tensors",
            severity="warning",
            sentence=f"From step {first['step']} on, other tensors train than at the beginning; "
            "those that came later are not recorded.",
            evidence="; ".join(told) + ".",
            advice="Detach the recorder there, and attach a new one with another log.",
            step=first["step"],
            layers=thawed + frozen,
        )
    ]
