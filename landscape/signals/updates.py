"""The last step of the optimizer, from the state that stands beside the weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

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
    slots = _slots(state)
    names = _names_of_slots(subject, state, slots)
    if names is None:
        subject.note("the optimizer state does not fit the parameters; update norms are left out")
        return {}
    updates = {}
    for name, (entry, group) in zip(names, slots, strict=True):
        step = _step(entry, group)
        if step is not None and name in subject.parameters.names:
            updates[name] = subject.parameters.taken(name, step)
    return updates


def _slots(state: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Return the state of each parameter with the settings of its group, in order."""
    return [
        (state["state"].get(key, {}), group)
        for group in state["param_groups"]
        for key in group["params"]
    ]


def _names_of_slots(
    subject: Subject,
    state: Mapping[str, Any],
    slots: list[tuple[Mapping[str, Any], Mapping[str, Any]]],
) -> list[str] | None:
    """Return which parameter each slot belongs to, by name, order or shape; None when unsure."""
    tensors = dict(subject.network.model.named_parameters())
    trainable = [name for name, tensor in tensors.items() if tensor.requires_grad]
    orders = [[name for group in state["param_groups"] for name in group.get("param_names", ())]]
    if len(state["param_groups"]) == 1:
        orders += [trainable, list(tensors)]
    else:  # the order of several groups says nothing
        orders.append(_by_shape(tensors, slots))
    for names in orders:
        if len(names) == len(slots) and all(
            name in tensors and _fits(entry, tensors[name])
            for name, (entry, _) in zip(names, slots, strict=True)
        ):
            return names
    return None


def _by_shape(
    tensors: Mapping[str, Tensor], slots: list[tuple[Mapping[str, Any], Mapping[str, Any]]]
) -> list[str]:
    """Return the parameter of each slot's shape; nothing when two have the same."""
    of_shape: dict[tuple[int, ...], list[str]] = {}
    for name, tensor in tensors.items():
        of_shape.setdefault(tuple(tensor.shape), []).append(name)
    found = [of_shape.get(_shape(entry), []) for entry, _ in slots]
    return [names[0] for names in found] if all(len(names) == 1 for names in found) else []


def _shape(entry: Mapping[str, Any]) -> tuple[int, ...]:
    found = entry.get("exp_avg", entry.get("momentum_buffer"))
    return tuple(found.shape) if found is not None else (-1,)


def _fits(entry: Mapping[str, Any], tensor: Tensor) -> bool:
    found = entry.get("exp_avg", entry.get("momentum_buffer"))
    return found is None or tuple(found.shape) == tuple(tensor.shape)


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
