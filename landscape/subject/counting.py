"""How many items the mean loss runs over, counted in the pass that verifies loss and targets."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from landscape import progress
from landscape.errors import DataError, NumericalError
from landscape.subject.batch import Batch
from landscape.subject.choosing import without_targets
from landscape.subject.faithful import refuse_unfaithful
from landscape.subject.losses import Loss
from landscape.subject.network import Network
from landscape.subject.point import Point
from landscape.subject.undisturbed import seeded


@dataclass(frozen=True)
class Counted:
    """What the mean loss runs over, and the loss."""

    items: int
    total: float  # the summed loss


def count_items(
    network: Network,
    loss: Loss,
    point: Point,
    batches: Iterable[tuple[int, Batch]],
    *,
    total: int,
) -> Counted:
    """Return the number of samples, tokens or elements that count, and their summed loss.

    Args:
        network: The network.
        loss: The loss.
        point: Where.
        batches: Numbered; some of the data.
        total: Number of batches in all of the data.

    Raises:
        DataError: Targets do not fit the outputs.
        ModelError: The network is not a function of weights and inputs, or the loss no mean.
        NumericalError: The loss is NaN or infinite; the module where that begins is named.

    Cost: one forward pass over the data, one more over the first batch, and one over two samples.
    """
    items, summed = 0, 0.0
    with torch.no_grad(), progress.task("checking the loss", total) as task:
        for number, batch in batches:
            with seeded(0):
                outputs = network.outputs(point, batch, loss)
            if batch.targets is None and loss.needs_targets:
                raise without_targets(batch.kwargs)
            loss.check(outputs, batch.targets)
            value = float(loss.total(outputs, batch.targets))
            if not math.isfinite(value):
                raise _not_finite(network, loss, point, batch, number)
            if number == 0:
                with torch.enable_grad():
                    refuse_unfaithful(network, loss, point, batch, value)
            if total > 1:
                loss.check_mean(outputs, batch.targets)
            items += loss.count(outputs, batch.targets)
            summed += value
            task.advance()
    return Counted(items, summed)


def counted(items: int, total: float) -> Counted:
    """Return what the mean loss over all of the data runs over.

    Raises:
        DataError: Nothing counts.
    """
    if items == 0:
        raise DataError(
            "every target is ignored: nothing counts",
            where="data: targets",
            why="the loss is a mean over what counts",
            hint="check the labels: -100 is ignored by ce",
        )
    return Counted(items, total)


def _not_finite(
    network: Network, loss: Loss, point: Point, batch: Batch, number: int
) -> NumericalError:
    module = network.first_non_finite_module(point, batch, loss)
    return NumericalError(
        f"the loss is not finite in batch {number}",
        where=f"first non-finite output: {module or 'the loss itself'}",
        why="the weights and the inputs are finite",
        hint="look at that layer with `landscape weights`, and at that batch",
    )
