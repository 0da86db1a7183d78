"""The runs that a log holds one behind another."""

from __future__ import annotations

from dataclasses import dataclass

from landscape.recorder.log import Log


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of those whose steps a log holds.

    Args:
        first_step: Its number.
        how: first; goes on; begins anew, with other weights than those the run before ended with.
    """

    first_step: int
    how: str


def runs_of(log: Log) -> tuple[Run, ...]:
    """Return the runs of a log; one that goes on from an earlier step replaces what was beyond."""
    found = [Run(first_step=log.first.get("step", 0), how="first")]
    for record in log.records:
        step = record.get("step", 0)
        if record["kind"] == "resumed":
            found = [one for one in found if one.first_step < step]
            found.append(Run(first_step=step, how="goes on" if found else "first"))
        elif record["kind"] == "anew" and len(found) > 1:
            found[-1] = Run(first_step=found[-1].first_step, how="begins anew")
    return tuple(found)
