"""The largest singular value of a linear map that is known by its action, attained from below."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import vjp

BASIS = 24  # vectors between restarts
RESTARTS = 12
SETTLED = 1e-9  # relative change between restarts at which they end
LARGE = 8_000  # inputs from which on the search is in float32, shorter, and ends at 1e-4

Action = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Attained:
    """‖A v‖ / ‖v‖ of a vector, evaluated in float64; no norm of A lies below it."""

    value: float
    vector: Tensor  # (n, …), ‖v‖ = 1


def largest_singular(action: Action, start: Tensor, *, quick: bool = False) -> Attained:
    """Return the largest stretch of a linear map that restarted Lanczos on Aᵀ A finds.

    Args:
        action: x ↦ A x, differentiable in either floating precision.
        start: Where the search begins, in the shape of x; not zero.
        quick: One restart instead of twelve, for a start that is good already.

    Cost: at most 24 products with A and Aᵀ between restarts, and one in float64.
    """
    large = start.numel() > LARGE
    dtype, settled = (torch.float32, 1e-4) if large else (torch.float64, SETTLED)
    basis = min(BASIS // 2 if large else BASIS, start.numel())
    restarts = 1 if quick else RESTARTS // 3 if large else RESTARTS
    vector, before = _unit(start.to(dtype)), 0.0
    adjoint = vjp(action, torch.zeros_like(vector))[1]
    for _ in range(restarts):
        value, vector = _restart(action, lambda y: adjoint(y)[0], vector, basis)
        if value <= before * (1 + settled):
            break
        before = value
    vector = _unit(vector.double())
    image = float(torch.linalg.vector_norm(action(vector)))
    return Attained(image * (1 - 1e-14), vector)


def _restart(action: Action, adjoint: Action, start: Tensor, basis: int) -> tuple[float, Tensor]:
    """Return the top Ritz value and vector of Aᵀ A on a Krylov space, fully orthogonalised."""
    rows = start.new_empty(basis, start.numel())
    rows[0] = start.flatten()
    steps, projected = 0, torch.zeros(basis, basis, dtype=torch.float64)
    for step in range(basis):
        rest = adjoint(action(rows[step].view_as(start))).flatten()
        length = float(torch.linalg.vector_norm(rest))
        steps = step + 1
        known = rows[:steps]
        for _ in range(2):
            shares = known @ rest
            rest = rest - shares @ known
            projected[step, :steps] += shares.double().cpu()
        left = float(torch.linalg.vector_norm(rest))
        if step == basis - 1 or left <= 1e-6 * length or left == 0:
            break
        rows[steps] = rest / left
    found = projected[:steps, :steps].tril()
    values, vectors = torch.linalg.eigh(found + found.tril(-1).T)
    top = (vectors[:, -1].to(rows) @ rows[:steps]).view_as(start)
    return float(values[-1].clamp_min(0).sqrt()), top


def _unit(vector: Tensor) -> Tensor:
    return vector / torch.linalg.vector_norm(vector).clamp_min(1e-300)
