"""The weights inside what a checkpoint file holds, and what was saved beside them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from landscape.subject.files.candidates import (
    OPTIMIZER_KEYS,
    Candidate,
    choose,
    find_candidates,
    is_optimizer,
    is_tensor,
)
from landscape.subject.files.state_key import by_key
from landscape.subject.files.wording import listed

if TYPE_CHECKING:
    from torch import Tensor

STEP_KEYS = ("global_step", "step", "iteration", "iter", "iter_num")


@dataclass(frozen=True, kw_only=True)
class Contents:
    """The weights of a checkpoint and what was saved beside them."""

    tensors: Mapping[str, Tensor]
    optimizer: Mapping[str, Any] | None
    step: int | None
    epoch: int | None
    learning_rate: float | None
    producer: str
    notes: tuple[str, ...]


def find_contents(
    raw: object, *, state_key: str | None = None, ema: bool | None = None, where: str = ""
) -> Contents:
    """Return the weights in a loaded checkpoint, and what was saved beside them.

    Args:
        raw: The object in the file.
        state_key: Dotted path of the weights, or the prefix of their names, where the search
            is to be overruled.
        ema: Whether to take the averaged weights; None takes the plain ones and says so.
        where: The file, for messages.

    Raises:
        CheckpointError: There are no weights, or several that could be meant.
    """
    candidates = find_candidates(raw)
    if state_key is not None:
        chosen, notes = by_key(raw, state_key, candidates, where), ()
    else:
        chosen, notes = choose(raw, candidates, ema, where)
    tensors = {
        name: value
        for name, value in chosen.weights.items()
        if isinstance(name, str) and is_tensor(value)
    }
    left_out = [str(name) for name in chosen.weights if name not in tensors]
    if left_out:
        notes += (f"left out, as not tensors: {listed(left_out)}",)
    top = raw if isinstance(raw, Mapping) else {}
    optimizer = _optimizer(top)
    rates = _learning_rates(optimizer)
    if len(set(rates)) > 1:
        notes += (f"parameter groups differ in learning rate; the first, {rates[0]:g}, is used",)
    return Contents(
        tensors=tensors,
        optimizer=optimizer,
        step=_count(top, STEP_KEYS),
        epoch=_count(top, ("epoch",)),
        learning_rate=rates[0] if rates else None,
        producer=_producer(raw, chosen),
        notes=notes,
    )


def _optimizer(top: Mapping[Any, Any]) -> Mapping[str, Any] | None:
    for key in OPTIMIZER_KEYS:
        state = top.get(key)
        if isinstance(state, list | tuple) and state:
            state = state[0]
        if is_optimizer(state):
            return state
    return None


def _learning_rates(optimizer: Mapping[str, Any] | None) -> list[float]:
    groups = optimizer["param_groups"] if optimizer else ()
    if not isinstance(groups, list | tuple):
        return []
    rates = [_number(group.get("lr")) for group in groups if isinstance(group, Mapping)]
    return [rate for rate in rates if rate is not None]


def _count(top: Mapping[Any, Any], keys: tuple[str, ...]) -> int | None:
    numbers = (_number(top.get(key)) for key in keys)
    return next((int(n) for n in numbers if n is not None and n == n // 1), None)


def _number(value: Any) -> float | None:
    """Return a plain, NumPy or zero-dimensional number; anything else is None."""
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        try:
            value = value.item()
        except (RuntimeError, ValueError):  # a tensor without numbers, on the meta device
            return None
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return value if plain and abs(value) < 2**63 else None


def _producer(raw: object, chosen: Candidate) -> str:
    if not isinstance(raw, Mapping):
        return "pickled module"
    if "pytorch-lightning_version" in raw:
        version = re.match(r"\d{1,4}\.\d{1,4}", str(raw["pytorch-lightning_version"])[:20])
        return f"Lightning {version[0]}" if version else "Lightning"
    return "training dict" if chosen.path else "state dict"
