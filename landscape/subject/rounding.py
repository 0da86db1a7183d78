"""How far rounding moves a gradient.

Where a classifier is sure of every sample, its loss is a logarithm next to one, and float32 leaves
few digits of it: at a loss of 1e-4 the gradient is off by a thousandth to a twentieth of its
length, though the sums over samples are exact. So it is measured against float64.
"""

from __future__ import annotations

import math
from itertools import islice

import torch
from torch import Tensor

from landscape.errors import LandscapeError
from landscape.estimate import Estimate
from landscape.subject.batch import Batch
from landscape.subject.point import Point
from landscape.subject.regrouping import regrouped
from landscape.subject.subject import Subject

GROUPS, SAMPLES = 8, 64  # of the samples that are computed in both precisions, and in each
SUMMED = "float64 accumulation"


def gradient_error(subject: Subject, point: Point) -> Tensor | None:  # (n,)
    """Return how far rounding may move the gradient of the mean loss, by what it does to groups.

    Errors of groups are added without their signs, so that none is taken for small by chance. Over
    all of the data they are no larger where these are like the groups.

    Args:
        subject: Network, loss and data, in the precision that is asked about.
        point: Where.

    Returns:
        For every coordinate the mean distance from float64 in eight groups of 64 samples at most,
        from all over the data that are at hand; zero where float64 is the working precision, None
        where the network cannot be evaluated in it or memory does not suffice.

    Cost: a forward and a backward pass of these samples in both precisions.
    """
    theta = point.theta
    if theta.dtype == torch.float64:
        return torch.zeros_like(theta)
    exact, precise = subject.in_precision(torch.float64), point.to(torch.float64)
    total, samples = torch.zeros_like(precise.theta), 0
    try:
        for group in _groups(subject):
            right = batch_gradient(exact, precise, group.to(theta.device, torch.float64))
            total += (batch_gradient(subject, point, group).double() - right).abs()
            samples += group.samples
    except (LandscapeError, RuntimeError):  # an operation that float64 lacks, or no room for it
        return None
    whole = subject.batches.samples if subject.batches is not None else samples
    return total * (whole / samples / subject.count)


def batch_gradient(subject: Subject, point: Point, batch: Batch) -> Tensor:  # (n,)
    """Return the gradient of the summed loss of a batch."""
    theta = point.theta.detach().requires_grad_()
    with subject.undisturbed(0):
        loss = subject.objective(point, batch)(theta)
        return (
            torch.autograd.grad(loss, theta)[0] if loss.requires_grad else torch.zeros_like(theta)
        )


def _groups(subject: Subject) -> list[Batch]:
    """Return samples from all over the data, or from the first batches of a stream."""
    source = subject.device_batches()
    batches = source if isinstance(source, list) else list(islice(source, GROUPS))
    if subject.mode == "train":  # its samples depend on one another
        return batches[:1]
    count = min(GROUPS, len(batches))
    places = [len(batches) * place // count for place in range(count)]
    if len(places) > 1:
        return [batches[place].spread(SAMPLES) for place in places]
    return list(regrouped([batches[0].spread(GROUPS * SAMPLES)], SAMPLES))


def length(vector: Tensor, told: str = SUMMED) -> Estimate:
    """Return the length of a vector that is known to the last digit."""
    return Estimate.exact(_norm(vector), told)


def rounded_length(vector: Tensor, error: Tensor | None, told: str = SUMMED) -> Estimate:
    """Return the length of a computed vector, and how far rounding may have moved it.

    Args:
        vector: (n,).
        error: Of every coordinate (n,), at most; None where it was not measured.
        told: Of what and how.
    """
    value = _norm(vector)
    if vector.dtype == torch.float64 or not math.isfinite(value):
        return length(vector, told)
    off = torch.finfo(vector.dtype).eps * value + (_norm(error) if error is not None else 0.0)
    against = f"against float64 on {GROUPS * SAMPLES} samples at most"
    return Estimate.within(
        value,
        (max(value - off, 0.0), value + off),
        f"{told}; {against if error is not None else 'rounding was not measured'}",
    )


def _norm(vector: Tensor) -> float:
    return float(torch.linalg.vector_norm(vector, dtype=torch.float64))
