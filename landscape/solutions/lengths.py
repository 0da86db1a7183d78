"""Lengths and angles between weights, in float64."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from landscape.estimate import Estimate


def length(vector: Tensor) -> Estimate:
    """Return the length of a vector."""
    value = float(torch.linalg.vector_norm(vector, dtype=torch.float64))
    return Estimate.exact(value, "float64 accumulation")


def cosine(a: Tensor, b: Tensor, start: Tensor | None) -> Estimate:
    """Return the cosine of the angle between two networks, seen from the start if it is known."""
    if start is not None:
        a, b = a - start, b - start
    lengths = length(a).value * length(b).value
    value = float(a.double() @ b.double()) / lengths if lengths > 0 else math.nan
    told = "of the ways from the initial weights" if start is not None else "of the weights"
    if not math.isfinite(value):
        return Estimate(
            value=value,
            kind="exact",
            interval=(value, value),
            level=1.0,
            method=told,
            reason="a network is where it began" if start is not None else "weights are zero",
        )
    return Estimate.exact(value, told)
