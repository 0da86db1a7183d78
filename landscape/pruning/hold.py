"""Pruned weights that stay exactly zero while a network trains."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.optim import Optimizer

from landscape.pruning.mask import Mask


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
    inner = _inner(model)
    mask.check(_weights(inner))
    places = list(_pruned(inner, mask))

    def zero(*_: Any) -> None:
        with torch.no_grad():
            for weight, gone in places:
                weight.masked_fill_(gone, 0.0)
                for remembered in optimizer.state.get(weight, {}).values():
                    if isinstance(remembered, Tensor) and remembered.shape == weight.shape:
                        remembered.masked_fill_(gone, 0.0)

    zero()
    handle = optimizer.register_step_post_hook(zero)
    try:
        yield
    finally:
        handle.remove()


def _pruned(model: nn.Module, mask: Mask) -> Iterator[tuple[nn.Parameter, Tensor]]:
    parameters = _weights(model)
    for name, kept in mask.kept.items():
        yield parameters[name], ~kept.to(parameters[name].device)


def _weights(model: nn.Module) -> dict[str, nn.Parameter]:
    return dict(model.named_parameters())


def _inner(model: nn.Module) -> nn.Module:
    if isinstance(model, DataParallel | DistributedDataParallel):
        return _inner(model.module)
    compiled = getattr(model, "_orig_mod", None)
    return _inner(compiled) if isinstance(compiled, nn.Module) else model
