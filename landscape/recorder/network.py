"""What of a network is watched: tensors, tied ones once, and modules whose signals can be seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.optim import Optimizer

from landscape.errors import ModelError
from landscape.subject.network import unwrapped

COMPILED = "inside a compiled graph activations cannot be seen"

Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One parameter tensor.

    Args:
        name: As `named_parameters` gives it, without prefixes of wrappers.
        shape: Of the tensor.
        aliases: Other names of the same tensor.
        held: Whether the optimizer moves it.
    """

    name: str
    shape: tuple[int, ...]
    aliases: tuple[str, ...] = ()
    held: bool = True


@dataclass(frozen=True, kw_only=True)
class Watched:
    """The tensors and modules of a network that are watched.

    Args:
        model: As it was given: what training calls.
        tensors: That train, tied ones once.
        layers: What they are called.
        frozen: Names of tensors that do not train.
        modules: Whose signals are seen, by name.
        unseen: Why some are not; empty when all are.
    """

    model: nn.Module
    tensors: tuple[nn.Parameter, ...]
    layers: tuple[Layer, ...]
    frozen: tuple[str, ...]
    modules: dict[str, nn.Module]
    unseen: str


def watched(model: nn.Module, optimizer: Optimizer) -> Watched:
    """Return what of a network is watched.

    Raises:
        ModelError: Its parameters are sharded, or none of them trains.
    """
    inner = unwrapped(model)
    names: dict[Tensor, list[str]] = {}
    for name, tensor in inner.named_parameters(remove_duplicate=False):
        names.setdefault(tensor, []).append(name.replace("_orig_mod.", ""))
    _refuse_sharded(model, names)
    held = {tensor for group in optimizer.param_groups for tensor in group["params"]}
    training = [tensor for tensor in names if tensor.requires_grad]
    if not training:
        raise ModelError(
            "no parameter of the network trains",
            where=type(inner).__name__,
            why="requires_grad is False for all of them",
            hint="attach the recorder to the network that the optimizer trains",
        )
    if not held & set(training):
        raise ModelError(
            "the optimizer holds no parameter of the network",
            where=type(optimizer).__name__,
            why="its steps would change nothing that is watched",
            hint="attach the recorder to the network and the optimizer that trains it",
        )
    seen = dict(_seen(inner)) if not _compiled(model) else {}
    hidden = _compiled(model) or any(_compiled(module) for module in inner.modules())
    return Watched(
        model=model,
        tensors=tuple(training),  # type: ignore[arg-type]
        layers=tuple(
            Layer(
                name=names[tensor][0],
                shape=tuple(tensor.shape),
                aliases=tuple(names[tensor][1:]),
                held=tensor in held,
            )
            for tensor in training
        ),
        frozen=tuple(same[0] for tensor, same in names.items() if not tensor.requires_grad),
        modules=seen,
        unseen=COMPILED if hidden else "",
    )


class Trainable:
    """Tells when tensors begin or cease to train on the way: the columns of a log stay the same.

    Args:
        watched: What is recorded.
        optimizer: Whose groups may grow.

    Cost: one look at every known tensor a step.
    """

    def __init__(self, watched: Watched, optimizer: Optimizer) -> None:
        self._watched = watched
        self._optimizer = optimizer
        self._known = dict(unwrapped(watched.model).named_parameters())
        self._before = self._now()
        self._found: list[dict[str, Any]] = []

    def look(self, step: int) -> None:
        """Compare with the step before."""
        now = self._now()
        if now == self._before:
            return
        (flags, held), (flags_before, held_before) = now, self._before
        changed = [
            (name.replace("_orig_mod.", ""), new)
            for name, new, old in zip(self._known, flags, flags_before, strict=True)
            if new != old
        ]
        self._before = now
        self._found.append(
            {
                "kind": "changed",
                "step": step,
                "thawed": [name for name, trains in changed if trains],
                "frozen": [name for name, trains in changed if not trains],
                "held": [sum(held_before), sum(held)],
            }
        )

    def taken(self) -> list[dict[str, Any]]:
        """Return the records of what changed since the last time."""
        found, self._found = self._found, []
        return found

    def _now(self) -> tuple[list[bool], list[int]]:
        held = [len(group["params"]) for group in self._optimizer.param_groups]
        return [one.requires_grad for one in self._known.values()], held


def sample_first(model: nn.Module) -> bool:
    """Return whether the first axis of a batch counts samples, as far as modules tell."""
    return not any(
        isinstance(one, nn.RNNBase | nn.MultiheadAttention) and not one.batch_first
        for one in model.modules()
    )


def inner_optimizer(optimizer: Any) -> tuple[Optimizer, Any]:
    """Return the optimizer inside wrappers of frameworks, and the scaler that these hold.

    Raises:
        ModelError: It is no optimizer of PyTorch.
    """
    scaler = None
    while isinstance(inner := getattr(optimizer, "optimizer", None), Optimizer):
        scaler = scaler or getattr(optimizer, "scaler", None)
        optimizer = inner
    if not isinstance(optimizer, Optimizer):
        raise ModelError(
            f"a {type(optimizer).__name__} is no optimizer of PyTorch",
            where="Recorder.optimizer",
            why="its steps cannot be seen: expected a torch.optim.Optimizer, or what wraps one",
            hint="give the optimizer whose step() the loop calls",
        )
    return optimizer, scaler


def saturating(module: nn.Module) -> Range | None:
    """Return the range of a bounded activation function; None for every other module."""
    match module:
        case nn.Tanh() | nn.Softsign():
            return -1.0, 1.0
        case nn.Sigmoid() | nn.Hardsigmoid():
            return 0.0, 1.0
        case nn.Hardtanh() if not isinstance(module, nn.ReLU6):
            return float(module.min_val), float(module.max_val)
        case _:
            return None


def unit_axis(module: nn.Module) -> int | None:
    """Return the axis of a layer's input that counts units; None where inputs are not units."""
    kind = type(module).__name__
    if isinstance(module, nn.Linear):
        return -1
    return 1 if kind.startswith("Conv") or kind.startswith("LazyConv") else None


def _seen(module: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules that own parameters, and bounded activation functions."""
    if _compiled(module):
        return
    children = [(key, child) for key, child in module.named_children() if key != "parametrizations"]
    owns = next(module.parameters(recurse=False), None) is not None
    owns = owns or "parametrizations" in dict(module.named_children())
    whole = not children or isinstance(module, nn.MultiheadAttention)
    if whole and (owns or saturating(module) is not None):
        yield name, module
    if isinstance(module, nn.MultiheadAttention):
        return
    for key, child in children:
        yield from _seen(child, f"{name}.{key}" if name else key)


def _compiled(module: nn.Module) -> bool:
    if isinstance(module, DistributedDataParallel | DataParallel):
        return _compiled(module.module)
    inner = getattr(module, "_orig_mod", None)
    return isinstance(inner, nn.Module) or module._compiled_call_impl is not None


def _refuse_sharded(model: nn.Module, names: dict[Tensor, list[str]]) -> None:
    sharded = [
        same[0]
        for tensor, same in names.items()
        if hasattr(tensor, "placements") or hasattr(tensor, "_is_flat_param")
    ]
    if sharded:
        raise ModelError(
            "the parameters are sharded over processes",
            where=f"{type(model).__name__}: {sharded[0]}",
            why="a norm over one process's shard is not the norm of the layer",
            hint="record a run under DistributedDataParallel, or one of a single process",
        )
