"""Pruned weights that stay exactly zero while a network trains."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook

from landscape.errors import ModelError
from landscape.pruning.mask import Mask
from landscape.subject.network import unwrapped

Place = tuple[nn.Parameter, Tensor]


def prune(model: nn.Module, mask: Mask) -> None:
    """Set every pruned weight of a network to zero, for good.

    Raises:
        ModelError: The mask does not fit.
    """
    mask.check(_weights(model))
    with torch.no_grad():
        for weight, gone in _pruned(model, mask):
            weight[gone] = 0.0


@contextmanager
def held(model: nn.Module, mask: Mask, optimizer: Optimizer) -> Iterator[None]:
    """Keep pruned weights at zero inside the context, whatever the optimizer remembers.

    They are zeroed at once and after every step, and so is what the optimizer keeps for them:
    momentum from before the pruning would move them. Parameters are changed in place, so compiled
    networks and those in `DistributedDataParallel` hold as well.

    Args:
        model: In training; wrappers may stand round it.
        mask: By the names of the network inside.
        optimizer: Steps the parameters.

    Raises:
        ModelError: The mask does not fit.
    """
    places = _places(model, mask)
    _zero(places, optimizer)
    handle = optimizer.register_step_post_hook(lambda *_: _zero(places, optimizer))
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def held_throughout(model: nn.Module, mask: Mask) -> Iterator[None]:
    """Keep pruned weights at zero inside the context under every optimizer that is made there.

    So a training loop need not know of the mask. Weights that something other than a
    `torch.optim.Optimizer` has moved are found at the end.

    Args:
        model: In training; wrappers may stand round it.
        mask: By the names of the network inside.

    Raises:
        ModelError: The mask does not fit, or a pruned weight is not zero at the end.
    """
    places = _places(model, mask)
    _zero(places, None)
    handle = register_optimizer_step_post_hook(lambda optimizer, *_: _zero(places, optimizer))
    try:
        yield
    finally:
        handle.remove()
    for name, (weight, gone) in zip(mask.kept, _places(model, mask), strict=True):
        if bool(weight.detach()[gone].any()):
            raise ModelError(
                f"training moved pruned weights of {name}",
                where="train",
                why="they are set to zero after every step of a torch.optim optimizer, and "
                "something else changed them",
                hint="step with torch.optim, or multiply the weights by the mask after each step",
            )


def _zero(places: list[Place], optimizer: Optimizer | None) -> None:
    """Zero the pruned weights, and what an optimizer remembers of them."""
    with torch.no_grad():
        for weight, gone in places:
            weight.masked_fill_(gone, 0.0)
            state = optimizer.state.get(weight, {}) if optimizer is not None else {}
            for remembered in state.values():
                if isinstance(remembered, Tensor) and remembered.shape == weight.shape:
                    remembered.masked_fill_(gone, 0.0)


def _places(model: nn.Module, mask: Mask) -> list[Place]:
    """Return the masked parameters, each with what is pruned of it."""
    inner = unwrapped(model)
    mask.check(_weights(inner))
    return list(_pruned(inner, mask))


def _pruned(model: nn.Module, mask: Mask) -> Iterator[Place]:
    parameters = _weights(model)
    for name, kept in mask.kept.items():
        yield parameters[name], ~kept.to(parameters[name].device)


def _weights(model: nn.Module) -> dict[str, nn.Parameter]:
    return dict(model.named_parameters())
