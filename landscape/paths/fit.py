"""A curve of low loss between two points: its bends are trained, its ends stay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from landscape import progress
from landscape.budget import Pace
from landscape.errors import DataError, SettingError
from landscape.paths.curves import Bezier, PolygonalChain
from landscape.paths.route import Route
from landscape.subject.batch import Batch
from landscape.subject.normalisation import normalised
from landscape.subject.point import Point
from landscape.subject.regrouping import regrouped
from landscape.subject.subject import Subject
from landscape.training.loop import minimise

Bent = TypeVar("Bent", Bezier, PolygonalChain)

BATCH = 128  # samples in a step, where the data come in larger batches


def fit(
    subject: Subject,
    curve: Bent,
    *,
    a: Point,
    b: Point,
    steps: int,
    learning_rate: float,
    generator: torch.Generator,
) -> Bent:
    """Return the curve with bends that minimise E_t L(φ(t)), t uniform on [0, 1].

    One t is drawn for every minibatch; the batches pass in a random order. Normalisation layers use
    the statistics of the minibatch, as in training; dropout is off. The learning rate is constant
    up to half of the steps, then falls linearly to a hundredth at nine tenths.

    Args:
        subject: Gives network, loss and the data that are fitted to; is left undisturbed.
        curve: Where to begin, with bends, from `a.theta` to `b.theta`.
        a: The point at t = 0.
        b: The point at t = 1.
        steps: Of Adam.
        learning_rate: Of Adam.
        generator: Draws t and the order of the batches.

    Raises:
        SettingError: The curve has no bend.
        BudgetError: A budget does not last for the steps, as the first of them tell.

    Cost: a forward and a backward pass over a minibatch, for each step.

    Source: Garipov et al. 2018, arXiv 1802.10026, §3. Differs from the source: Adam, no weight
    decay, no dropout.
    """
    if not curve.bends:
        raise SettingError(
            "a curve without bends cannot be fitted",
            where="fit",
            why="a straight line has no point that could move",
            hint="give it one: bends=1",
        )
    order, route = _minibatches(subject, generator), Route(subject.network, curve, a, b)
    bends = [nn.Parameter(bend.clone()) for bend in curve.bends]
    optimizer = torch.optim.Adam(bends, lr=learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step / steps))

    def loss(step: int) -> Tensor:
        del step
        batch, t = next(order), float(torch.rand((), generator=generator))
        point = route.along(moved(bends))(t)
        outputs = subject.outputs(point, batch)
        criterion = subject.criterion
        count = criterion.count(outputs, batch.targets)
        return criterion.total(outputs, batch.targets) / max(count, 1)

    def moved(bends: Sequence[Tensor]) -> Bent:
        return type(curve)((curve.points[0], *bends, curve.points[-1]))

    with subject.undisturbed(0), progress.task("fitting the curve", steps) as task:
        for module in normalised(subject.network.model).values():
            module.training = True  # put back at the end, with everything else
        pace = Pace("the fit of the curve", steps)

        def after(step: int) -> None:
            schedule.step()
            task.advance()
            pace.check(step)

        minimise(loss, optimizer, steps=steps, after=after)
    return moved([bend.detach() for bend in bends])


def _rate(share: float) -> float:
    """Return the learning rate's factor after a share of the steps."""
    return max(0.01, min(1.0, 1 - (share - 0.5) / 0.4 * 0.99))


def _minibatches(subject: Subject, generator: torch.Generator) -> Iterator[Batch]:
    """Yield minibatches for ever: in a random order when the data are in memory, else as given.

    Raises:
        DataError: None holds the two samples that normalisation layers need.
    """
    least = 2 if normalised(subject.network.model) else 1
    while True:
        source = subject.device_batches()
        batches = (one for one in regrouped(source, BATCH) if one.samples >= least)
        if isinstance(source, list):
            kept = list(batches)
            order = torch.randperm(len(kept), generator=generator).tolist()
            batches = (kept[number] for number in order)
        first = next(batches, None)
        if first is None:
            raise DataError(
                "no minibatch holds two samples",
                where="fit",
                why="normalisation layers are fitted with the statistics of a minibatch",
                hint="give more samples",
            )
        yield first
        yield from batches
