"""How far rounding moves a gradient.

Where a classifier is sure of every sample, its loss is a logarithm next to one, and float32 leaves
few digits of it: at a loss of 1e-4 the gradient is off by a thousandth to a twentieth of its
length, though the sums over samples are exact. So it is measured against float64.
"""

from __future__ import annotations

import torch
from torch import Tensor

from landscape.errors import LandscapeError
from landscape.estimate import Estimate
from landscape.subject.batch import Batch
from landscape.subject.point import Point
from landscape.subject.subject import Subject

SAMPLES = 512
SUMMED = "float64 accumulation"


def gradient_error(subject: Subject, point: Point) -> Tensor | None:  # (n,)
    """Return the error of rounding in the gradient of the mean loss, measured on a few samples.

    It is that of the mean over these. Over all of the data it is not longer where they are alike:
    the errors of samples cancel in part.

    Args:
        subject: Network, loss and data, in the precision that is asked about.
        point: Where.

    Returns:
        The gradient less that in float64, of 512 samples of the first batch at most; zero where
        float64 is the working precision, None where the network cannot be evaluated in it or
        memory does not suffice.

    Cost: a forward and a backward pass of these samples in both precisions.
    """
    theta = point.theta
    if theta.dtype == torch.float64:
        return torch.zeros_like(theta)
    batch = next(iter(subject.device_batches()))
    few = batch if subject.mode == "train" else batch.spread(SAMPLES)
    try:
        double = few.to(theta.device, torch.float64)
        exact = _gradient(subject.in_precision(torch.float64), point.to(torch.float64), double)
        error = _gradient(subject, point, few).double() - exact
    except (LandscapeError, RuntimeError):  # an operation that float64 lacks, or no room for it
        return None
    samples = subject.batches.samples if subject.batches is not None else few.samples
    return error * (samples / few.samples / subject.count)


def _gradient(subject: Subject, point: Point, batch: Batch) -> Tensor:
    """Return the gradient of the summed loss of a batch."""
    theta = point.theta.detach().requires_grad_()
    with subject.undisturbed(0):
        loss = subject.objective(point, batch)(theta)
        return (
            torch.autograd.grad(loss, theta)[0] if loss.requires_grad else torch.zeros_like(theta)
        )


def length(vector: Tensor, error: Tensor | None = None, told: str = SUMMED) -> Estimate:
    """Return the length of a vector whose error is known, or at least measured.

    Args:
        vector: (n,).
        error: Of every coordinate (n,); None where it is not known.
        told: Of what and how.
    """
    value = _norm(vector)
    if error is None or not bool(error.any()):
        return Estimate.exact(value, told)
    off = _norm(error)
    return Estimate.within(
        value,
        (max(value - off, 0.0), value + off),
        f"{told}; against float64 on {SAMPLES} samples at most",
    )


def _norm(vector: Tensor) -> float:
    return float(torch.linalg.vector_norm(vector, dtype=torch.float64))
