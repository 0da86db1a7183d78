"""The row of a step: what is written on the device, and the record that it becomes on the host."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from landscape.recorder.network import Watched
from landscape.recorder.norms import norms
from landscape.recorder.ring import Ring

LOSS, SCALE, GRADIENT_SCALE, FOUND_INF = range(4)  # the first columns; then the learning rates
UNTOUCHED = 2e-6  # relative difference of norms that clipping did not make


@dataclass(kw_only=True)
class Told:
    """What the host knows about a step."""

    step: int
    time: float
    passes: int  # backward passes
    samples: int | None
    loss: float | None  # where it was a number on the host
    loss_seen: bool
    rates: list[float | None]  # None: on the device
    missing: list[int] = field(default_factory=list[int])  # tensors without a gradient
    before: bool = False  # whether norms were taken before the step began
    skipped: bool = False
    scaled: bool = False
    scaled_after: bool = False  # a fused optimizer unscales by itself
    judged: bool = False  # whether found_inf is there


class Rows:
    """Puts a row together for every step: norms of gradients and weights, and a few scalars.

    Args:
        watched: What is recorded.
        optimizer: Whose learning rates are recorded.
        dtype: That squares are summed in.
    """

    def __init__(self, watched: Watched, optimizer: Optimizer, dtype: torch.dtype) -> None:
        self._watched = watched
        self._optimizer = optimizer
        self._dtype = dtype
        self._home = watched.tensors[0].device
        self._several = len({one.device for one in watched.tensors}) > 1
        self._none = torch.full((), math.nan, dtype=dtype, device=self._home)
        self._nones = self._none.repeat(len(watched.tensors))
        self._zero = torch.zeros((), dtype=dtype, device=self._home)
        self._groups = len(optimizer.param_groups)
        self.ring: Ring[Told] = Ring(4 + self._groups + 3 * len(watched.tensors), dtype, self._home)

    def gradient_norms(self) -> Tensor:
        """Return the norms (N,) of the gradients that are there now, 0 for missing ones."""
        gradients = [one.grad for one in self._watched.tensors]
        there = [one for one in gradients if one is not None]
        found = self._placed(norms(there, self._dtype))
        if len(there) < len(gradients):
            values = iter(found)
            found = [self._zero if one is None else next(values) for one in gradients]
        return torch.stack(found)

    def put(
        self,
        told: Told,
        *,
        losses: Sequence[Tensor],
        scale: Tensor | None,
        before: Tensor | None,
    ) -> None:
        """Add the row of a step."""
        tensors = self._watched.tensors
        told.missing = [place for place, one in enumerate(tensors) if one.grad is None]
        after = before if told.skipped and before is not None else self.gradient_norms()
        fused = getattr(self._optimizer, "grad_scale", None)
        judged = getattr(self._optimizer, "found_inf", None)
        told.scaled, told.scaled_after = scale is not None, isinstance(fused, Tensor)
        told.judged, told.before = isinstance(judged, Tensor), before is not None
        loss = torch.stack([self._scalar(one) for one in losses]).mean() if losses else None
        scalars = [loss, scale, fused, judged, *self._rates(told)]
        parts = [
            torch.stack([self._scalar(one) for one in scalars]),
            self._nones if before is None else before,
            after,
            torch.stack(self._placed(norms(tensors, self._dtype))),
        ]
        self.ring.put(torch.cat(parts), told)

    def record(self, told: Told, row: list[float]) -> dict[str, Any]:
        """Return the record of a step from the row that arrived."""
        count = len(self._watched.tensors)
        start = 4 + self._groups
        before, after, weight = (
            row[start + part * count : start + (part + 1) * count] for part in range(3)
        )
        record: dict[str, Any] = {"kind": "step", "step": told.step, "time": told.time}
        if told.loss_seen:
            record["loss"] = told.loss if told.loss is not None else row[LOSS]
        record["learning_rate"] = [
            row[4 + place] if rate is None else rate for place, rate in enumerate(told.rates)
        ]
        if told.samples is not None:
            record["samples"] = told.samples
        record["passes"] = told.passes
        scale = row[SCALE] if told.scaled else 1.0
        if told.scaled:
            record["scale"] = scale
        if told.skipped or (told.judged and row[FOUND_INF] > 0):
            record["skipped"] = True
        if told.scaled_after or told.skipped:
            by = row[GRADIENT_SCALE] if told.scaled_after else scale
            after = [value / by for value in after]
        if told.missing:
            record["missing"] = told.missing
        record["gradient"] = after
        if told.before:
            earlier = [value / scale for value in before]
            if not told.skipped and _differ(earlier, after):
                record["before"] = earlier
        record["weight"] = weight
        return record

    def _rates(self, told: Told) -> list[Tensor | None]:
        """Note the learning rates that are numbers, and return those that are on the device."""
        rates = [group.get("lr") for group in self._optimizer.param_groups][: self._groups]
        rates += [None] * (self._groups - len(rates))
        told.rates = [
            None if isinstance(rate, Tensor) else math.nan if rate is None else float(rate)
            for rate in rates
        ]
        return [rate if isinstance(rate, Tensor) else None for rate in rates]

    def _scalar(self, value: Tensor | None) -> Tensor:
        if value is None:
            return self._none
        value = value.detach().reshape(())
        return value.to(self._home, self._dtype, non_blocking=True)

    def _placed(self, values: list[Tensor]) -> list[Tensor]:
        if not self._several:
            return values
        return [one.to(self._home, non_blocking=True) for one in values]


def _differ(left: list[float], right: list[float]) -> bool:
    return any(
        not (a == b or abs(a - b) <= UNTOUCHED * max(abs(a), abs(b)) or (a != a and b != b))
        for a, b in zip(left, right, strict=True)
    )
