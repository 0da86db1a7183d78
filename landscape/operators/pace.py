"""How fast passes, gradients and products of a network are here, by a short trial."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from itertools import islice

import torch
from torch import Tensor

from landscape import progress
from landscape.linalg.probes import spherical
from landscape.operators.engine import Product
from landscape.operators.hessian import HessianOperator
from landscape.subject.batch import Batch
from landscape.subject.subject import Subject
from landscape.work import Pace

MINIBATCH = 128  # samples of a step of training
BATCHES = 2  # of the data that a trial runs over
FEW = 2  # samples of a call that takes the least: one is not enough for BatchNorm in training
BLOCK = 8  # vectors at a time
LEAST, LAPS = 2, 6  # times that each is tried
LONG = 0.3  # seconds, after which the least are enough
SIDE = 512  # of the matrices that are multiplied


class FirstBatches(HessianOperator):
    """The Hessian of the first batches alone, without their weight in the mean.

    Args:
        subject: Network, loss and data.
        batches: How many of the data.
        product: How products are computed; None: as the subject says.
    """

    def __init__(self, subject: Subject, batches: int, *, product: Product | None = None) -> None:
        super().__init__(subject, product=product)
        self._first = batches

    def source(self) -> Iterable[Batch]:
        """Return the first batches."""
        given = super().source()
        taken = self._first
        return given[:taken] if isinstance(given, list) else islice(given, taken)


def pace_of(subject: Subject) -> Pace:
    """Return how long a pass, a gradient and a product over all of the data take, about.

    They are timed on the first batches, and taken to grow with the samples.

    Args:
        subject: With data; its last checkpoint counts.

    Raises:
        LandscapeError: Network, data and loss do not fit together, or no product can be computed.

    Cost: two to six passes, gradients and blocks of products over at most two batches.
    """
    operator = FirstBatches(subject, BATCHES)
    first = list(operator.source())
    samples = sum(batch.samples for batch in first)
    whole = subject.batches.samples if subject.batches is not None else samples
    theta = operator.point.theta
    size = min(BLOCK, theta.numel(), operator.preferred_block)
    rows = spherical(size, theta.numel(), like=theta, generator=torch.Generator().manual_seed(0))
    little = first[0].head(min(MINIBATCH, whole))
    few = first[0].head(FEW)
    matrix = torch.ones(SIDE, SIDE, device=theta.device, dtype=theta.dtype)

    def forward() -> object:
        with torch.no_grad():
            return [operator.value(batch) for batch in first]

    def call() -> object:
        with torch.no_grad():
            return operator.value(few)

    with subject.undisturbed(0), progress.task("how long a pass takes", 6) as task:
        times = list[float]()
        for trial in (
            forward,
            lambda: [_gradient(subject, theta, batch) for batch in first],
            lambda: _gradient(subject, theta, little),
            lambda: operator.engine.products(rows),
            call,
            lambda: matrix @ matrix,
        ):
            times.append(_clocked(trial, theta.device))
            task.advance()
    scale = whole / samples
    return Pace(
        forward=times[0] * scale,
        gradient=times[1] * scale,
        step=times[2],
        product=times[3] / size * scale,
        call=max(times[4] - times[0] * few.samples / samples, 0.0),
        operation=times[5] / SIDE**3,
    )


def _gradient(subject: Subject, theta: Tensor, batch: Batch) -> Tensor:
    at = theta.detach().requires_grad_()
    (found,) = torch.autograd.grad(subject.objective(subject.point, batch)(at), at)
    return found


def _clocked(trial: Callable[[], object], device: torch.device) -> float:
    """Return the shortest time of a few calls; the first sets up what is kept."""
    laps = list[float]()
    while len(laps) < LAPS and (len(laps) < LEAST or sum(laps) < LONG):
        _wait(device)
        began = time.perf_counter()
        trial()
        _wait(device)
        laps.append(time.perf_counter() - began)
    return min(laps)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
