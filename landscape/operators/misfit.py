"""How far a product is from a central difference, beyond what rounding explains."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from landscape.operators.local import Local

STEPS = {  # relative to the size of the weights; kinks want small ones, rounding wants large ones
    torch.float64: (1e-4, 1e-5, 1e-6, 1e-7),
    torch.float32: (1e-2, 1e-3, 1e-4, 1e-5),
}
FINER = {torch.float64: (1e-8, 1e-9), torch.float32: ()}  # where rounding leaves them a say
LIMITS = {torch.float64: 1e-3, torch.float32: 3e-2}  # relative: rounding and kinks explain less


def misfit(local: Local, vector: Tensor, image: Tensor, precision: torch.dtype) -> float:
    """Return the smallest relative difference over some steps.

    Among many units one may stand so near to its kink that all but the smallest steps pass it.

    Args:
        local: The share of a micro-batch.
        vector: What it is applied to (n,).
        image: Its product with the vector (n,).
        precision: In which the network computes: float32 or float64.

    Cost: two gradients a step, until one agrees to rounding.
    """
    coarser = torch.finfo(precision).eps / torch.finfo(vector.dtype).eps
    smallest = math.inf
    for step in STEPS[precision] + FINER[precision]:
        difference, noise = local.difference(vector, step)
        scale = max(length(image), length(difference))
        if step in FINER[precision] and coarser * noise > LIMITS[precision] * scale:
            break
        beyond = max(length(image - difference) - coarser * noise, 0.0)
        smallest = min(smallest, beyond / scale if scale > 0 else 0.0)
        if not smallest:
            break
    return smallest


def length(vector: Tensor) -> float:
    """Return the norm of a vector, in float64."""
    return float(torch.linalg.vector_norm(vector, dtype=torch.float64))
