"""Inputs that climb to where the Jacobian is largest, also across regions where it is constant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from landscape import budget, progress
from landscape.lipschitz.jacobian import Map, largest_singular
from landscape.subject.undisturbed import differentiable_attention

Move = Literal["pull", "random", "difference"]

MOVES: tuple[Move, ...] = ("pull", "random", "difference")  # in turn
LENGTHS = (-2.0, 0.5)  # powers of ten, of a move over the size of the input
SHARE = 0.7  # of the difference of two other inputs
STEPS = 4  # of Lanczos, at every input that is tried


@dataclass(frozen=True)
class Peaks:
    """Inputs, and lower bounds of the largest singular values of the Jacobian there."""

    x: Tensor  # (s, n)
    values: Tensor  # (s,)
    right: Tensor  # (s, n) unit vectors


def projected(x: Tensor, radius: float | None) -> Tensor:
    """Return the nearest inputs (b, n) in the ball of a radius round the origin."""
    if radius is None:
        return x
    norms = x.norm(dim=1, keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)
    return x * (radius / norms).clamp_max(1.0)


def climb(
    function: Map,
    x: Tensor,
    *,
    steps: int,
    radius: float | None,
    generator: torch.Generator,
) -> Peaks:
    """Return inputs at which the Jacobian is large, one for each input given.

    A step tries another input for each, and keeps it where σ₁(J) is larger. The gradient of σ₁
    vanishes almost everywhere for piecewise linear networks; what is tried instead, in turn: a move
    along J(x + h v)ᵀ û − J(x − h v)ᵀ û, the gradient of ‖f(x + h v) − f(x − h v)‖ in x (v the right
    singular vector), which sees the regions at distance h; a random move; the difference of two
    other inputs. Lengths of moves are log-uniform.

    Args:
        function: No sample may depend on another.
        x: Where to start, (s, n).
        steps: To take.
        radius: Of the ball that inputs stay in; None: anywhere.
        generator: Draws moves and start vectors.

    Cost: nine to thirteen forward or backward passes for each step.

    Source: Storn & Price 1997, J. Global Optimization 11, for the differences.
    """

    def peaks(at: Tensor) -> Peaks:
        found = largest_singular(function, at, steps=STEPS, generator=generator)
        return Peaks(at, found.values, found.right)

    best = peaks(x)
    with progress.task("ascent of the Jacobian", steps) as task:
        for step in range(steps):
            if budget.spent():
                break
            moved = _moved(function, best, MOVES[step % len(MOVES)], generator)
            best = _higher(peaks(projected(moved, radius)), best)
            task.advance()
    return best


def _moved(function: Map, peaks: Peaks, move: Move, generator: torch.Generator) -> Tensor:
    """Return another input for each."""
    x = peaks.x
    if move == "difference":
        first, second = (x[torch.randperm(len(x), generator=generator)] for _ in range(2))
        return x + SHARE * (first - second)
    low, high = LENGTHS
    drawn = torch.rand(len(x), 1, generator=generator, dtype=torch.float64)
    size = x.norm(dim=1, keepdim=True)
    length = 10 ** (low + (high - low) * drawn).to(x) * torch.where(size > 0, size, 1.0)
    if move == "random":
        gauss = torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x)
        return x + length * _unit(gauss)
    return x + length * _unit(_pull(function, x, length * peaks.right))


def _pull(function: Map, x: Tensor, reach: Tensor) -> Tensor:
    """Return the gradient of ‖f(x + r) − f(x − r)‖ in x, sample by sample.

    Cost: two forward passes and a backward one through both.
    """
    with differentiable_attention(), torch.enable_grad():
        shift = torch.zeros_like(x, requires_grad=True)
        apart = function(x + shift + reach) - function(x + shift - reach)
        total = apart.norm(dim=1).sum()
        if not total.requires_grad:
            return torch.zeros_like(x)
        (found,) = torch.autograd.grad(total, shift, materialize_grads=True)
    return torch.nan_to_num(found, nan=0.0, posinf=0.0, neginf=0.0)


def _higher(one: Peaks, other: Peaks) -> Peaks:
    """Return the higher of two peaks, row by row; what is not finite is none."""
    first = (one.values > other.values) & torch.isfinite(one.values)
    return Peaks(
        torch.where(first[:, None], one.x, other.x),
        torch.where(first, one.values, other.values),
        torch.where(first[:, None], one.right, other.right),
    )


def _unit(rows: Tensor) -> Tensor:
    return rows / rows.norm(dim=1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny)
