"""Is the network a function of weights and inputs alone? If not, derivatives mean nothing."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from landscape.errors import LandscapeError, ModelError
from landscape.subject.batch import Batch
from landscape.subject.losses import Loss
from landscape.subject.network import Network, checkpointing
from landscape.subject.point import Point
from landscape.subject.random_layers import drawing_module, random_in_train_mode
from landscape.subject.undisturbed import seeded

SAMPLES = 2  # of which the graph is looked at
AGREEMENT = 1e-6  # relative: far above rounding, far below any noise


def refuse_unfaithful(
    network: Network, loss: Loss, point: Point, batch: Batch, first: float | None = None
) -> None:
    """Refuse networks whose loss depends on more than weights and inputs.

    Args:
        network: The network.
        loss: The loss.
        point: Where.
        batch: Some of the data.
        first: The summed loss of the batch under `seeded(0)`, if it is known.

    Raises:
        ModelError: It depends on a state of the module, on random numbers, or its backward pass
            recomputes with weights that are no longer in place (activation checkpointing).

    Cost: two forward passes over one batch (one, where the first loss is known) in the mode that
    the network is in, one more in train mode, and one over two samples.
    """

    def value(seed: int) -> float:
        with seeded(seed), torch.no_grad():
            return float(loss.total(network.outputs(point, batch, loss), batch.targets))

    first = value(0) if first is None else first
    other = value(1)
    if _differ(first, other) and _differ(first, again := value(0)):
        raise ModelError(
            "the network gives two answers to one question",
            where=f"{type(network.model).__name__}.forward",
            why=f"the loss of the first batch was {first:.6g}, then {again:.6g}: forward keeps a "
            "state outside parameters and buffers",
            hint="make forward a function of weights, buffers and inputs",
        )
    _refuse_random(network, loss, point, batch, (first, other))
    theta = point.theta.detach().requires_grad_()
    total = _graph_total(network, loss, point.moved(theta), batch)
    if _holds(total.grad_fn, "CheckpointFunctionBackward"):
        raise checkpointing(network.model)


def _refuse_random(
    network: Network, loss: Loss, point: Point, batch: Batch, losses: tuple[float, float]
) -> None:
    """Refuse a network that draws random numbers, by its losses under two seeds.

    In train mode one draw may not show in the loss (stochastic depth): modules are looked at.
    """
    differ, training = _differ(*losses), network.model.training
    if not (differ or training):
        return
    found = drawing_module(network.model, lambda: network.outputs(point, batch, loss))
    where = found or f"{type(network.model).__name__}.forward"
    if training and (differ or found):
        raise random_in_train_mode(where)
    if differ:
        raise ModelError(
            "the network draws random numbers in eval mode",
            where=where,
            why=f"the loss of the first batch is {losses[0]:.6g} or {losses[1]:.6g}, by the seed",
            hint="use nn.Dropout, or F.dropout(..., training=self.training); fix sampled noise",
        )


def _graph_total(network: Network, loss: Loss, point: Point, batch: Batch) -> Tensor:
    """Return the loss of a few samples; of all where there are few, or only batches of one size."""
    if batch.samples <= SAMPLES:
        return _total(network, loss, point, batch)
    try:
        return _total(network, loss, point, batch.head(SAMPLES))
    except (LandscapeError, RuntimeError):
        return _total(network, loss, point, batch)


def _total(network: Network, loss: Loss, point: Point, batch: Batch) -> Tensor:
    return loss.total(network.outputs(point, batch, loss), batch.targets)


def _differ(one: float, other: float) -> bool:
    return abs(one - other) > AGREEMENT * max(abs(one), abs(other))


def _holds(node: Any, name: str) -> bool:
    """Return whether a node of that name is in an autograd graph."""
    seen: set[Any] = set()
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node.name() == name:
            return True
        waiting += [following for following, _ in node.next_functions]
    return False
