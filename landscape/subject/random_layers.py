"""Layers that draw random numbers: a loss with them is no function of weights and inputs."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd  # pyright: ignore[reportPrivateUsage]
from torch.utils._pytree import tree_leaves

from landscape.errors import ModelError
from landscape.subject.files.wording import listed
from landscape.subject.undisturbed import evaluation_mode, seeded

SHOWN = 4  # names in an error
SEEDS = 8  # under which a module with random numbers is told: some draw differences rarely
AGREEMENT = 1e-6  # relative: far above rounding, far below any noise


def refuse_dropout(model: nn.Module) -> None:
    """Refuse a network whose train mode drops units, or draws slopes.

    Raises:
        ModelError: It does; the modules are named.
    """
    with evaluation_mode(model):
        model.train()
        found = [
            f"{name or 'the network'} ({type(module).__name__})"
            for name, module in model.named_modules()
            if module.training and _draws(module)
        ]
    if found:
        raise random_in_train_mode(listed(found, SHOWN))


def random_in_train_mode(where: str) -> ModelError:
    """Return the refusal of random layers in train mode."""
    return ModelError(
        "the network draws random numbers in train mode",
        where=where,
        why="a loss that differs from call to call has no derivative to study",
        hint="set their probabilities to 0 in the factory, or study eval mode: --mode eval",
    )


def drawing_module(model: nn.Module, call: Callable[[], object]) -> str | None:
    """Return the innermost module that answers one question differently under some seeds.

    None where there is no such module, as when numbers are drawn and not used.

    Args:
        model: The network.
        call: Runs it, by one forward pass.

    Cost: one forward pass; nine where a global generator has moved on.
    """
    if not _moves_a_generator(call):
        return None
    first = _watched(model, call, 0)
    for seed in range(1, SEEDS):
        for one, other in zip(first, _watched(model, call, seed), strict=False):
            (name, entered, left), (_, entered_again, left_again) = one, other
            if _same(entered, entered_again) and not _same(left, left_again):
                kind = type(model.get_submodule(name)).__name__
                return f"{name or 'the network itself'} ({kind})"
    return None


def _draws(module: nn.Module) -> bool:
    match module:
        case _DropoutNd():
            return module.p > 0
        case nn.RNNBase():
            return module.dropout > 0 and module.num_layers > 1
        case nn.MultiheadAttention():
            return module.dropout > 0
        case nn.RReLU():
            return module.lower < module.upper
        case _:
            return False


def _moves_a_generator(call: Callable[[], object]) -> bool:
    with seeded(0), torch.no_grad():
        before = _states()
        call()
        return _states() != before


def _states() -> list[object]:
    """Return the states of the global generators, to be compared."""
    numbers: Any = np.random.get_state()
    found: list[Tensor] = [torch.get_rng_state()]
    if torch.cuda.is_initialized():
        found += torch.cuda.get_rng_state_all()
    told = [one.numpy().tobytes() for one in found]
    return [random.getstate(), numbers[1].tobytes(), numbers[2], *told]


Seen = list[tuple[str, list[float], list[float]]]  # name, inputs and outputs of a module


def _watched(model: nn.Module, call: Callable[[], object], seed: int) -> Seen:
    """Return what goes in and out of every module, in the order in which they finish."""
    seen: Seen = []

    def watch(name: str) -> Any:
        def hook(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            del module
            seen.append((name, _sizes((args, kwargs)), _sizes(output)))

        return hook

    handles = [
        module.register_forward_hook(watch(name), with_kwargs=True)
        for name, module in model.named_modules()
    ]
    try:
        with seeded(seed), torch.no_grad():
            call()
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _sizes(values: Any) -> list[float]:
    """Return a number for every tensor that tells it from others: a weighted sum."""
    tensors = [one.detach().double() for one in tree_leaves(values) if isinstance(one, Tensor)]
    return [float((one.flatten() * _ramp(one)).nan_to_num().sum()) for one in tensors]


def _ramp(tensor: Tensor) -> Tensor:
    return torch.linspace(1, 2, tensor.numel(), dtype=torch.float64, device=tensor.device)


def _same(one: list[float], other: list[float]) -> bool:
    return len(one) == len(other) and all(
        abs(a - b) <= AGREEMENT * max(abs(a), abs(b)) for a, b in zip(one, other, strict=True)
    )
