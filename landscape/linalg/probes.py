"""Random vectors."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def rademacher(count: int, size: int, *, like: Tensor, generator: torch.Generator) -> Tensor:
    """Return vectors of independent signs (p, n): E zzᵀ = I, and ‖z‖² = n always.

    They are drawn on the CPU, so that one seed gives one answer on every device.
    """
    bits = torch.randint(0, 2, (count, size), generator=generator, dtype=torch.int8)
    return bits.to(like) * 2 - 1


def spherical(count: int, size: int, *, like: Tensor, generator: torch.Generator) -> Tensor:
    """Return vectors uniform on the unit sphere (p, n), drawn on the CPU in float64."""
    rows = torch.empty(count, size, dtype=like.dtype, device=like.device)
    for row in rows:  # one at a time: in float64 they are large
        gauss = torch.randn(size, generator=generator, dtype=torch.float64)
        row.copy_(gauss / gauss.norm().clamp_min(math.ulp(0.0)))
    return rows
