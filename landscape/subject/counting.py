"""How many items the mean loss runs over, counted in the pass that verifies loss and targets."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch

from landscape import progress
from landscape.errors import DataError, NumericalError
from landscape.subject.batch import Batch
from landscape.subject.losses import Loss
from landscape.subject.network import Network
from landscape.subject.point import Point


def count_items(
    network: Network, loss: Loss, point: Point, batches: Iterable[Batch], *, total: int
) -> int:
    """Return the number of samples, tokens or elements that count.

    Raises:
        DataError: Targets do not fit the outputs, or none counts.
        NumericalError: The loss is NaN or infinite; the module where that begins is named.

    Cost: one forward pass over the data.
    """
    counted = 0
    with torch.no_grad(), progress.task("checking the loss", total) as task:
        for number, batch in enumerate(batches):
            outputs = network.outputs(point, batch, loss)
            loss.check(outputs, batch.targets)
            if not math.isfinite(float(loss.total(outputs, batch.targets))):
                raise _not_finite(network, loss, point, batch, number)
            counted += loss.count(outputs, batch.targets)
            task.advance()
    if counted == 0:
        raise DataError(
            "every target is ignored: nothing counts",
            where="data: targets",
            why="the loss is a mean over what counts",
            hint="check the labels: -100 is ignored by ce",
        )
    return counted


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
