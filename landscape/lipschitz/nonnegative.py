"""Norms of linear maps without negative coefficients: means, pools, selections, repetitions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import vjp

ROUNDS = 60
AGREED = 1e-9


@dataclass(frozen=True)
class Norm:
    """A norm between two numbers."""

    lower: float
    upper: float


def nonnegative_norm(action: Callable[[Tensor], Tensor], like: Tensor) -> Norm:
    """Return the norm of a linear map A ≥ 0 from both sides.

    For every positive x, σ² ≤ max_i (Aᵀ A x)_i / x_i, and σ ≥ ‖A x‖ / ‖x‖; both become equal under
    the power method. From x = 1 the first is √(‖A‖₁ ‖A‖_∞).

    Args:
        action: x ↦ A x.
        like: A tensor in the shape of x.

    Cost: at most 60 products with A and Aᵀ.

    Source: Collatz 1942; Wielandt 1950.
    """
    x = torch.ones_like(like, dtype=torch.float64)
    adjoint = vjp(action, torch.zeros_like(x))[1]
    low, high = 0.0, float("inf")
    for _ in range(ROUNDS):
        image = action(x)
        back = adjoint(image)[0]
        low = max(low, float(torch.linalg.vector_norm(image) / torch.linalg.vector_norm(x)))
        high = min(high, float((back / x).max().clamp_min(0).sqrt()))
        if high <= low * (1 + AGREED) or high == 0:
            break
        x = (back / back.max()).where(back > 0, x / x.max()).clamp_min(1e-12)
    return Norm(low * (1 - 1e-14), high * (1 + 1e-13))


def sources_of_rows(action: Callable[[Tensor], Tensor], like: Tensor) -> float:
    """Return how much longer rows can become where entries are moved, repeated or dropped.

    A row is what lies along the last axis. If a new row holds entries of r old rows, each at most
    m times, its norm is at most √(r m) times the longest of them.

    Args:
        action: Moves entries; puts zeros where nothing comes from.
        like: A tensor in the shape of its argument.
    """
    shape = like.shape if like.dim() else (1,)
    count = like.numel()
    entries = torch.arange(1, count + 1, dtype=torch.float64, device=like.device)
    rows = torch.div(entries - 1, shape[-1], rounding_mode="floor") + 1
    r = _most(action(rows.reshape(like.shape)), distinct=True)
    m = _most(action(entries.reshape(like.shape)), distinct=False)
    return (r * m) ** 0.5


def _most(numbers: Tensor, *, distinct: bool) -> int:
    """Return the most different numbers, or the most equal ones, that a row holds besides 0."""
    ordered = numbers.reshape(-1, numbers.shape[-1] if numbers.dim() else 1).sort(-1)[0]
    new = torch.ones_like(ordered, dtype=torch.bool)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    if distinct:
        return int((new & (ordered != 0)).sum(-1).max())
    starts = new.flatten().nonzero().flatten()
    ends = torch.cat([starts[1:], starts.new_tensor([new.numel()])])
    runs = (ends - starts)[ordered.flatten()[starts] != 0]
    return int(runs.max()) if len(runs) else 0
