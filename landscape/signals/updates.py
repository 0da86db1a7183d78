"""The last step of the optimizer, from the state that stands beside the weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from landscape.subject.optimizer_state import names_of_slots, slots_of
from landscape.subject.subject import Subject


def last_update(subject: Subject) -> dict[str, Tensor]:
    """Return the last step of every studied parameter (flat), by name; where it is known.

    The step of Adam and AdamW is η m̂ / (√v̂ + ε) with both moments corrected for their start at
    zero (weight decay left out); that of SGD and RMSprop with momentum is η times the buffer. η is
    the rate that was saved, which a schedule may have moved since.
    Other optimizers, and Nesterov's momentum, do not leave their last step behind.

    Source: Kingma & Ba 2015, arXiv 1412.6980, algorithm 1.
    """
    state = subject.checkpoint.optimizer
    if not state or not state.get("state"):
        return {}
    slots = slots_of(state)
    names = names_of_slots(subject, state, slots)
    if names is None:
        subject.note("the optimizer state does not fit the parameters; update norms are left out")
        return {}
    updates = {}
    for name, (entry, group) in zip(names, slots, strict=True):
        step = _step(entry, group)
        if step is not None and name in subject.parameters.names:
            updates[name] = subject.parameters.taken(name, step)
    return updates


def _step(entry: Mapping[str, Any], group: Mapping[str, Any]) -> Tensor | None:
    rate = float(group["lr"])
    if {"exp_avg", "exp_avg_sq"} <= set(entry) and "amsgrad" in group:
        first, second = group["betas"]
        steps = float(torch.as_tensor(entry["step"]))
        mean = entry["exp_avg"].double() / (1 - first**steps)
        square = entry.get("max_exp_avg_sq", entry["exp_avg_sq"]).double() / (1 - second**steps)
        return rate * mean / (square.sqrt() + group["eps"])
    sgd, rmsprop = group.get("nesterov") is False and "dampening" in group, "centered" in group
    if entry.get("momentum_buffer") is not None and (sgd or rmsprop):
        return rate * entry["momentum_buffer"].double()
    return None
