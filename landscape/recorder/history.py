"""A log as arrays over steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from landscape.recorder.log import Log, Record, number, numbers
from landscape.recorder.runs import Run, runs_of

SIGNALS = ("forward", "backward", "dead", "saturated")


@dataclass(frozen=True, kw_only=True)
class History:
    """What a log holds: t steps, d of them with details, N tensors, M modules.

    Norms are those of unscaled gradients. Where a tensor had no gradient its norm is 0.
    """

    names: tuple[str, ...]
    sizes: np.ndarray  # (N,), numbers in a tensor
    matrices: np.ndarray  # (N,), bool: tensors with two axes or more
    held: np.ndarray  # (N,), bool: moved by the optimizer
    frozen: tuple[str, ...]
    depth: np.ndarray  # (N,), place in the order of the forward pass
    steps: np.ndarray  # (t,)
    time: np.ndarray  # (t,), seconds since the run was attached
    loss: np.ndarray  # (t,), NaN where it was not shown
    shown: np.ndarray  # (t,), bool: whether there was a loss
    rate: np.ndarray  # (t,), learning rate of the first group
    scale: np.ndarray  # (t,), of the loss; 1 without a scaler
    skipped: np.ndarray  # (t,), bool
    clipped: np.ndarray  # (t,), bool
    before: np.ndarray  # (t, N), norms at the end of the backward pass
    gradient: np.ndarray  # (t, N), norms as the optimizer saw them
    weight: np.ndarray  # (t, N)
    missing: np.ndarray  # (t, N), bool: no gradient
    samples: np.ndarray  # (t,), NaN where they were not seen
    detailed: np.ndarray  # (d,), steps
    update: np.ndarray  # (d, N), norms of θ′ − θ
    cosine: np.ndarray  # (d,), of successive gradients; NaN where there is none
    modules: tuple[str, ...]  # in the order of the forward pass
    signals: dict[str, np.ndarray]  # kind: (d, M); NaN where it was not seen
    pieces: np.ndarray  # (p, 4): mean |g_p|², |g|², mean 1/b_p, P
    piece_steps: np.ndarray  # (p,)
    piece_unit: str
    piece_reason: str  # why the last step with details has none; empty where that is not known
    origins: dict[int, Record]  # where numbers that were not finite arose, by step, if looked for
    answers: tuple[Record, ...]  # of scheduled diagnostics
    postponed: tuple[Record, ...]  # dates at which they were put off
    runs: tuple[Run, ...]  # whose steps are here, in order
    failed: tuple[Record, ...]  # steps that could not be recorded in full
    changed: tuple[Record, ...]  # steps at which other tensors began to train
    groups: tuple[dict[str, Any], ...]  # settings of the optimizer
    optimizer: str
    overhead: dict[str, Any] | None

    @property
    def total_before(self) -> np.ndarray:  # (t,)
        """Return the norm of the whole gradient at the end of the backward pass."""
        return _total(self.before)

    @property
    def total(self) -> np.ndarray:  # (t,)
        """Return the norm of the whole gradient as the optimizer saw it."""
        return _total(self.gradient)

    @property
    def begins(self) -> tuple[int, ...]:
        """Return the rows at which training begins anew, with other weights than before."""
        anew = [one.first_step for one in self.runs if one.how == "begins anew"]
        return tuple(sorted({int(row) for row in np.searchsorted(self.steps, anew)} - {0}))

    @property
    def seconds(self) -> float:
        """Return the time that the recorded steps took; the clock of every run begins at 0."""
        last = np.flatnonzero(np.diff(self.time) < 0)
        return float(self.time[last].sum() + self.time[-1]) if len(self.time) else 0.0

    @property
    def present(self) -> np.ndarray:  # (t, N)
        """Return the norms at the end of the backward pass; NaN where there was no gradient."""
        return np.where(self.missing, np.nan, self.before)

    @property
    def ratio(self) -> np.ndarray:  # (d, N)
        """Return ‖Δw‖ / ‖w‖ of every tensor; NaN where these are zero or had no gradient."""
        rows = np.minimum(np.searchsorted(self.steps, self.detailed), len(self.steps) - 1)
        weight = np.where(self.missing[rows], 0.0, self.weight[rows])
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(weight > 0, self.update / weight, np.nan)


def history_of(log: Log) -> History:
    """Return a log as arrays."""
    layers = log.header["layers"]
    count = len(layers)
    steps = sorted(log.of("step"), key=lambda one: one["step"])
    details = sorted(log.of("detail"), key=lambda one: one["step"])
    gradient = _rows(steps, "gradient", count)
    before = np.array(
        [
            numbers(one, "before", count) if "before" in one else row
            for one, row in zip(steps, gradient, strict=True)
        ]
    ).reshape(-1, count)
    modules = _order(log)
    pieces = [one for one in details if "pieces" in one]
    ends = log.of("end")
    return History(
        names=tuple(one["name"] for one in layers),
        sizes=np.array([int(np.prod(one["shape"])) for one in layers]),
        matrices=np.array([len(one["shape"]) > 1 for one in layers]),
        held=np.array([bool(one.get("held", True)) for one in layers]),
        frozen=tuple(log.header.get("frozen", ())),
        depth=_depth([one["name"] for one in layers], modules),
        steps=np.array([one["step"] for one in steps], dtype=np.int64),
        time=np.array([number(one, "time") for one in steps]),
        loss=np.array([number(one, "loss") for one in steps]),
        shown=np.array(["loss" in one for one in steps], dtype=bool),
        rate=np.array([float(numbers(one, "learning_rate", 1)[0]) for one in steps]),
        scale=np.array([number(one, "scale") if "scale" in one else 1.0 for one in steps]),
        skipped=np.array([bool(one.get("skipped")) for one in steps], dtype=bool),
        clipped=np.array(["before" in one for one in steps], dtype=bool),
        before=before,
        gradient=gradient,
        weight=_rows(steps, "weight", count),
        missing=_missing(steps, count),
        samples=np.array([number(one, "samples") for one in steps]),
        detailed=np.array([one["step"] for one in details], dtype=np.int64),
        update=_rows(details, "update", count),
        cosine=np.array([number(one, "cosine") for one in details]),
        modules=modules,
        signals={kind: _signals(details, modules, kind) for kind in SIGNALS},
        pieces=np.array(
            [
                [number(one["pieces"], key) for key in ("small", "big", "inverse_size", "pieces")]
                for one in pieces
            ]
        ).reshape(-1, 4),
        piece_steps=np.array([one["step"] for one in pieces], dtype=np.int64),
        piece_unit=pieces[-1]["pieces"]["unit"] if pieces else "",
        piece_reason=next((o["no_pieces"] for o in reversed(details) if "no_pieces" in o), ""),
        origins={one["step"]: one for one in log.of("origin")},
        answers=tuple(log.of("diagnostic")),
        postponed=tuple(log.of("postponed")),
        runs=runs_of(log),
        failed=tuple(log.of("failed")),
        changed=tuple(log.of("changed")),
        groups=tuple(log.header["optimizer"]["groups"]),
        optimizer=log.header["optimizer"]["name"],
        overhead=ends[-1].get("overhead") if ends and log.ended else None,
    )


def _rows(records: list[Record], key: str, count: int) -> np.ndarray:
    return np.array([numbers(one, key, count) for one in records]).reshape(-1, count)


def _missing(records: list[Record], count: int) -> np.ndarray:
    absent = np.zeros((len(records), count), dtype=bool)
    for row, one in enumerate(records):
        absent[row, one.get("missing", [])] = True
    return absent


def _order(log: Log) -> tuple[str, ...]:
    """Return the modules that were seen, in the order of their first call."""
    seen: dict[str, None] = {}
    for one in log.of("order"):
        seen |= dict.fromkeys(one["modules"])
    return tuple(seen)


def _depth(names: list[str], modules: tuple[str, ...]) -> np.ndarray:
    """Return the place of each tensor's module; that of the tensor where not all were seen."""
    place = {module: number for number, module in enumerate(modules)}
    own = [place.get(name.rpartition(".")[0].removesuffix(".parametrizations")) for name in names]
    if any(one is None for one in own):
        return np.arange(len(names), dtype=float)
    return np.array(own, dtype=float)


def _signals(records: list[Record], modules: tuple[str, ...], kind: str) -> np.ndarray:
    seen = [one.get("signals", {}) for one in records]
    return np.array(
        [[number(one.get(module, {}), kind) for module in modules] for one in seen]
    ).reshape(len(records), len(modules))


def _total(norms: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        return np.sqrt(np.square(norms).sum(axis=1))
