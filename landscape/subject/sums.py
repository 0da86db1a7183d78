"""Sums over the data at a point, of which every rank computes its part."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from landscape.errors import InputError
from landscape.subject.batch import Batch
from landscape.subject.batches import Batches, dealt
from landscape.subject.counting import Counted, count_items, counted
from landscape.subject.point import Point

if TYPE_CHECKING:
    from landscape.subject.ranks import Ranks
    from landscape.subject.subject import Subject

AGREEMENT = 1e-4  # relative, of the loss over pieces of batches with that over the batches


def count_all(subject: Subject, batches: Batches) -> Counted:
    """Return what the mean loss over all of the data runs over, verified on the way.

    Raises:
        DataError: The ranks were given different weights or data, or nothing counts.
    """
    _agree(subject, batches)
    placed, point = batches.on(subject.device, subject.dtype), subject.point
    numbered, number, ranks = enumerate(placed), len(batches), subject.ranks

    def own() -> tuple[float, float]:
        part = islice(numbered, ranks.rank, None, ranks.size)
        with subject.undisturbed(0):
            found = count_items(subject.network, subject.criterion, point, part, total=number)
        return found.items, found.total

    items, total = ranks.totals(own, "the count", at=point.theta)
    return counted(int(items), total)


def summed_loss(subject: Subject, point: Point, batches: Iterable[Batch], what: str) -> float:
    """Return the summed loss over batches that are this rank's part.

    Args:
        subject: Network and loss.
        point: Where.
        batches: This rank's part of the data.
        what: What is summed, to tell ranks that are at another step.
    """

    def own() -> list[float]:
        with subject.undisturbed(0), torch.no_grad():
            losses = (float(subject.objective(point, one)(point.theta)) for one in batches)
            return [math.fsum(losses)]

    return subject.ranks.totals(own, what, at=point.theta)[0]


def summed_gradient(subject: Subject, point: Point, batches: Iterable[Batch]) -> Tensor:  # (n,)
    """Return the gradient of the summed loss over batches that are this rank's part."""

    def own() -> Tensor:
        theta = point.theta.detach().requires_grad_()
        total = torch.zeros_like(point.theta)
        with subject.undisturbed(0):
            for batch in batches:
                loss = subject.objective(point, batch)(theta)
                if loss.requires_grad:
                    total += torch.autograd.grad(loss, theta)[0]
        return total

    return subject.ranks.total(own, "the gradient", at=point.theta)


def part_of(ranks: Ranks, batches: Iterable[Batch], *, by_sample: bool) -> Iterator[Batch]:
    """Yield this rank's part of some batches."""
    return dealt(batches, rank=ranks.rank, size=ranks.size, by_sample=by_sample)


def divisible(subject: Subject) -> bool:
    """Return whether ranks may cut batches: the loss over the pieces is the whole loss.

    Cost: one forward pass over the data, shared by the ranks.
    """
    whole = subject.counted.total
    pieces = part_of(subject.ranks, subject.device_batches(), by_sample=True)
    try:
        what = "the loss over pieces of batches"
        total = summed_loss(subject, subject.point, pieces, what)
    except InputError:  # on every rank: a piece does not fit the network
        total = math.nan
    return abs(total - whole) <= AGREEMENT * max(abs(total), abs(whole))


def _agree(subject: Subject, batches: Batches) -> None:
    """Refuse ranks that were given different weights or data.

    Raises:
        DataError: They differ.
    """
    prints = [subject.weights_fingerprint(one) for one in subject.checkpoints]
    subject.ranks.agree("weights", prints, hint="load a checkpoint, or seed the factory")
    hint = "give every rank all samples in the same order, without a DistributedSampler"
    subject.ranks.agree("data", batches.hash, hint=hint)
