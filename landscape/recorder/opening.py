"""How a log begins: its header, and the step from which one that is there is gone on with."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch.optim import Optimizer

from landscape.errors import InputError, OutputError
from landscape.recorder.journal import SCHEMA
from landscape.recorder.log import read_log
from landscape.recorder.network import Watched
from landscape.recorder.processes import averaged, rank
from landscape.recorder.verdict import counted
from landscape.subject.provenance import environment


@dataclass(frozen=True)
class Opening:
    """Where a run goes on.

    Args:
        step: The number of the first step.
        end: The record with which the log ends, where its run is over and this one may go on.
        told: What should be said of it; empty: nothing.
    """

    step: int
    end: dict[str, Any] | None = None
    told: str = ""


def opening(path: Path | None, watched: Watched, asked: int | None) -> Opening:
    """Return where a run goes on; a log that is there must be of this network.

    Args:
        path: Of the log.
        watched: What is recorded.
        asked: The number that was asked for; None: where the log ends, or 0.

    Raises:
        OutputError: It is of another one.
    """
    if path is None or not path.exists() or not path.stat().st_size:
        return Opening(asked or 0)
    try:
        log = read_log(path)
    except InputError:
        if not _only_begun(path):
            raise
        return Opening(asked or 0)  # the run before was killed as it wrote its first line
    if [one["name"] for one in log.header["layers"]] != [one.name for one in watched.layers]:
        raise OutputError(
            "the log is that of another network",
            where=str(path),
            why="its layers have other names",
            hint="give another log=, or remove the file",
        )
    steps = [one["step"] for one in log.of("step")]
    if asked is None:
        return Opening(max(steps, default=-1) + 1, log.records[-1] if log.ended else None)
    if not steps or asked > min(steps):
        return Opening(asked)
    return Opening(
        asked,
        told=f"{path} holds {counted(len(steps), 'step')}, {min(steps)} to {max(steps)}; "
        f"this run begins at step {asked} and replaces them",
    )


def header(
    watched: Watched, optimizer: Optimizer, settings: Mapping[str, Any], step: int
) -> dict[str, Any]:
    """Return the first record of a run: what is watched, and how."""
    return {
        "schema": SCHEMA,
        "kind": "header",
        "step": step,
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "layers": [{**vars(layer), "shape": list(layer.shape)} for layer in watched.layers],
        "frozen": list(watched.frozen),
        "modules": list(watched.modules),
        "unseen": watched.unseen,
        "optimizer": _described(optimizer),
        "settings": settings,
        "ranks": averaged(watched.model),
        "rank": rank(),
        "environment": environment(watched.tensors[0].device),
    }


def _only_begun(path: Path) -> bool:
    """Return whether a file begins as a log does."""
    start = f'{{"schema":"{SCHEMA}"'.encode()
    with path.open("rb") as stream:
        first = stream.readline()
    return first[: len(start)] == start[: len(first.rstrip(b"\n"))]


def _described(optimizer: Optimizer) -> dict[str, Any]:
    """Return the optimizer's name and the settings of its groups."""
    plain = (bool, int, float, str)
    return {
        "name": type(optimizer).__name__,
        "groups": [
            {
                key: list(value) if isinstance(value, tuple) else value
                for key, value in group.items()
                if isinstance(value, plain)
                or (isinstance(value, tuple) and all(isinstance(v, plain) for v in value))
            }
            for group in optimizer.param_groups
        ],
    }
