"""What a checkpoint's optimizer makes of a gradient: step size, momentum, preconditioner."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from landscape.subject.subject import Subject

Entry = Mapping[str, Any]
Slot = tuple[Entry, Entry]  # the state of one parameter, the settings of its group

_SHAPED = ("exp_avg", "exp_avg_sq", "exp_inf", "momentum_buffer", "square_avg", "sum")


@dataclass(frozen=True, kw_only=True)
class OptimizerState:
    """How the optimizer turns gradients g into steps: θ ← θ − η P⁻¹ u.

    Without momentum u = g; with momentum β, u ← β u + (1 − d) g, and Nesterov's step takes
    (1 − d) g + β u instead. Adam's average is d = β.

    Args:
        name: Of the optimizer, as PyTorch calls it.
        learning_rate: η, of the first parameter group.
        momentum: β.
        dampening: d.
        nesterov: Whether the step looks ahead.
        eps: What keeps the preconditioner away from zero.
        step: Steps taken, where the state counts them.
        weight_decay: The largest among the groups.
        decoupled: Whether the decay acts on the weights and not on the gradient; None: not told.
        adaptive: Whether coordinates are rescaled by gradients of the past.
        preconditioner: P (n,), in the order of the studied parameters; None: the identity, or not
            known. Learning rates of other groups are folded in.
        reason: Why the preconditioner is not known; empty when it is.
    """

    name: str
    learning_rate: float
    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False
    eps: float = 0.0
    step: int | None = None
    weight_decay: float = 0.0
    decoupled: bool | None = None
    adaptive: bool = False
    preconditioner: Tensor | None = None
    reason: str = ""


@dataclass(frozen=True)
class NoOptimizer:
    """Why nothing is known of the optimizer."""

    reason: str


@dataclass(frozen=True)
class _Kind:
    """How one optimizer is recognised and read."""

    name: str
    keys: frozenset[str]  # settings of a group, or parts of the state, that tell it
    denominator: Callable[[Entry, Entry], Tensor] | None  # P of one parameter; None: the identity


def read_optimizer(subject: Subject) -> OptimizerState | NoOptimizer:
    """Return what the checkpoint tells of its optimizer.

    The preconditioner of Adam and AdamW is P = (√v̂ + ε)(1 − β₁ᵗ), with v̂ the second moment
    corrected for its start at zero (AMSGrad: the largest so far): then θ ← θ − η P⁻¹ m, with m the
    uncorrected average of the gradients. Of RMSprop P = √v + ε, of Adagrad √Σg² + ε, of Adamax
    u (1 − β₁ᵗ), of RAdam that of Adam over its rectification.

    Source: Kingma & Ba 2015, arXiv 1412.6980; Cohen et al. 2022, arXiv 2207.14484.
    """
    state = subject.checkpoint.optimizer
    if not state or not state.get("param_groups"):
        return NoOptimizer("no optimizer state beside the weights")
    slots = slots_of(state)
    groups = list(state["param_groups"])
    kind = _kind_of(groups[0], next((entry for entry, _ in slots if entry), {}))
    if kind is None:
        known = ", ".join(sorted(groups[0].keys() - {"params", "param_names"}))
        return NoOptimizer(f"the optimizer is not known by its settings: {known}")
    if len({_momentum(group) for group in groups}) > 1:
        return NoOptimizer("the parameter groups have different momenta")
    momentum, dampening, nesterov = _momentum(groups[0])
    preconditioner, reason = _preconditioner(subject, state, slots, kind)
    return OptimizerState(
        name=_told_name(kind.name, groups[0]),
        learning_rate=float(groups[0]["lr"]),
        momentum=momentum,
        dampening=dampening,
        nesterov=nesterov,
        eps=float(groups[0].get("eps", 0.0)),
        step=max((_steps(entry) for entry, _ in slots if "step" in entry), default=None),
        weight_decay=max(float(group.get("weight_decay", 0.0)) for group in groups),
        decoupled=_decoupled(kind.name, groups[0]),
        adaptive=kind.name != "SGD",
        preconditioner=preconditioner,
        reason=reason,
    )


def slots_of(state: Mapping[str, Any]) -> list[Slot]:
    """Return the state of each parameter with the settings of its group, in order."""
    return [
        (state["state"].get(key, {}), group)
        for group in state["param_groups"]
        for key in group["params"]
    ]


def names_of_slots(
    subject: Subject, state: Mapping[str, Any], slots: list[Slot]
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
            name in tensors and _shape(entry) in (None, tuple(tensors[name].shape))
            for name, (entry, _) in zip(names, slots, strict=True)
        ):
            return names
    return None


def _by_shape(tensors: Mapping[str, Tensor], slots: list[Slot]) -> list[str]:
    """Return the parameter of each slot's shape; nothing when two have the same."""
    of_shape: dict[tuple[int, ...] | None, list[str]] = {}
    for name, tensor in tensors.items():
        of_shape.setdefault(tuple(tensor.shape), []).append(name)
    found = [of_shape.get(_shape(entry), []) for entry, _ in slots]
    return [names[0] for names in found] if all(len(names) == 1 for names in found) else []


def _shape(entry: Entry) -> tuple[int, ...] | None:
    found = next((entry[key] for key in _SHAPED if entry.get(key) is not None), None)
    return tuple(found.shape) if found is not None else None


def _preconditioner(
    subject: Subject, state: Mapping[str, Any], slots: list[Slot], kind: _Kind
) -> tuple[Tensor | None, str]:
    """Return P (n,) and an empty reason, or None and why it is not known."""
    rates = [float(group["lr"]) for _, group in slots]
    if kind.denominator is None and len(set(rates)) <= 1:
        return None, ""
    told = _told_name(kind.name, state["param_groups"][0])
    if (reason := _obstacle(state, kind, told, min(rates))) is not None:
        return None, reason
    names = names_of_slots(subject, state, slots)
    if names is None:
        return None, "the optimizer state does not fit the parameters"
    parts = dict(zip(names, slots, strict=True))
    pieces = []
    for block in subject.parameters.blocks:
        if block.name not in parts:
            return None, f"the optimizer does not hold {block.name}"
        entry, group = parts[block.name]
        if kind.denominator is not None and not entry:
            return None, f"{block.name} was never stepped"
        divisor = kind.denominator(entry, group) if kind.denominator else torch.ones(block.shape)
        scaled = divisor.double() * (rates[0] / float(group["lr"]))
        pieces.append(subject.parameters.taken(block.name, scaled).flatten())
    whole = torch.cat(pieces).to(subject.device)
    if not bool(((whole > 0) & whole.isfinite()).all()):
        return None, "the preconditioner has entries that are not positive and finite"
    return whole, ""


def _obstacle(state: Mapping[str, Any], kind: _Kind, told: str, least_rate: float) -> str | None:
    if kind.name == "NAdam":
        return "NAdam's momentum changes with every step"
    if least_rate <= 0:
        return "a parameter group has learning rate 0"
    if kind.denominator is not None and not state.get("state"):
        return f"{told} has not taken a step yet"
    return None


def _kind_of(group: Entry, entry: Entry) -> _Kind | None:
    return next((kind for kind in _KINDS if kind.keys <= {*group, *entry}), None)


def _told_name(name: str, group: Entry) -> str:
    return "AdamW" if name == "Adam" and group.get("decoupled_weight_decay") else name


def _momentum(group: Entry) -> tuple[float, float, bool]:
    """Return β, d and whether the step is Nesterov's."""
    if "betas" in group:
        beta = float(group["betas"][0])
        return beta, beta, False
    beta = float(group.get("momentum", 0.0))
    return beta, float(group.get("dampening", 0.0)) if beta else 0.0, bool(group.get("nesterov"))


def _decoupled(name: str, group: Entry) -> bool | None:
    if "decoupled_weight_decay" in group:
        return bool(group["decoupled_weight_decay"])
    return None if name in ("Adam", "NAdam", "RAdam") else False


def _steps(entry: Entry) -> int:
    return int(torch.as_tensor(entry["step"]))


def _unfinished(group: Entry, entry: Entry) -> float:
    """Return 1 − β₁ᵗ: the part of the average that is not the zero it started from."""
    return 1 - float(group["betas"][0]) ** _steps(entry)


def _adam(entry: Entry, group: Entry) -> Tensor:
    square = entry.get("max_exp_avg_sq", entry["exp_avg_sq"]).double().cpu()
    corrected = square / (1 - float(group["betas"][1]) ** _steps(entry))
    return (corrected.sqrt() + float(group["eps"])) * _unfinished(group, entry)


def _adamax(entry: Entry, group: Entry) -> Tensor:
    return entry["exp_inf"].double().cpu() * _unfinished(group, entry)


def _radam(entry: Entry, group: Entry) -> Tensor:
    beta, steps = float(group["betas"][1]), _steps(entry)
    longest = 2 / (1 - beta) - 1
    length = longest - 2 * steps * beta**steps / (1 - beta**steps)
    if length <= 5:
        return torch.full_like(entry["exp_avg_sq"].double().cpu(), _unfinished(group, entry))
    rectified = (length - 4) * (length - 2) * longest
    rectified /= (longest - 4) * (longest - 2) * length
    root = entry["exp_avg_sq"].double().cpu().sqrt() + float(group["eps"])
    scale = (1 - beta**steps) ** 0.5 * rectified**0.5
    return root / scale * _unfinished(group, entry)


def _rmsprop(entry: Entry, group: Entry) -> Tensor:
    square = entry["square_avg"].double().cpu()
    if group["centered"]:
        square = square - entry["grad_avg"].double().cpu().square()
    return square.clamp_min(0).sqrt() + float(group["eps"])


def _adagrad(entry: Entry, group: Entry) -> Tensor:
    decayed = 1 + (_steps(entry) - 1) * float(group["lr_decay"])
    return (entry["sum"].double().cpu().sqrt() + float(group["eps"])) * decayed


_KINDS = (
    _Kind("SGD", frozenset({"dampening", "nesterov"}), None),
    _Kind("Adam", frozenset({"betas", "amsgrad"}), _adam),
    _Kind("NAdam", frozenset({"betas", "momentum_decay"}), _adam),
    _Kind("Adamax", frozenset({"betas", "exp_inf"}), _adamax),
    _Kind("RAdam", frozenset({"betas", "exp_avg_sq", "capturable"}), _radam),
    _Kind("RMSprop", frozenset({"alpha", "centered"}), _rmsprop),
    _Kind("Adagrad", frozenset({"lr_decay", "initial_accumulator_value"}), _adagrad),
)
