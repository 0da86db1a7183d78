"""Products of a batch's Hessian with vectors, in the differentiation modes that PyTorch offers.

No mode exists for every operation: a double backward may be missing, or a forward derivative.
Both ways are exact; whichever exists is used. Differentiating a forward derivative backwards is
not among them: for some operations PyTorch gives a wrong number there, and no error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.func import grad, jvp

from landscape.operators.graph import refuse_once_differentiable

Way = Literal["reverse", "forward"]
Objective = Callable[[Tensor], Tensor]  # (n,) -> scalar


def reverse_over_reverse(objective: Objective, theta: Tensor, rows: Tensor) -> Tensor:
    """Return H V by differentiating the gradient's graph; built once for all rows (k, n)."""
    theta = theta.detach().requires_grad_()
    value = objective(theta)
    if not value.requires_grad:
        return torch.zeros_like(rows)
    refuse_once_differentiable(value)
    (gradient,) = torch.autograd.grad(value, theta, create_graph=True)
    return vector_products(gradient, theta, rows)


def forward_over_reverse(objective: Objective, theta: Tensor, rows: Tensor) -> Tensor:
    """Return H V as directional derivatives of the gradient."""
    gradient = grad(objective)
    return torch.stack([jvp(gradient, (theta,), (row,))[1] for row in rows])


WAYS: dict[Way, Callable[[Objective, Tensor, Tensor], Tensor]] = {
    "reverse": reverse_over_reverse,
    "forward": forward_over_reverse,
}


def vector_products(outputs: Tensor, inputs: Tensor, rows: Tensor) -> Tensor:
    """Return the transposed Jacobian of outputs (m,) in inputs (n,) applied to rows (k, m)."""
    if not outputs.requires_grad:
        return rows.new_zeros(len(rows), inputs.numel())
    found = []
    for row in rows:
        (product,) = torch.autograd.grad(
            outputs, inputs, row.view_as(outputs), retain_graph=True, allow_unused=True
        )
        found.append(torch.zeros_like(inputs) if product is None else product)
    return torch.stack(found)
