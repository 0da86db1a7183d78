"""Largest singular values of the Jacobian in the inputs, for many samples at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from landscape.errors import ModelError, out_of_memory
from landscape.operators.graph import refuse_once_differentiable
from landscape.subject.undisturbed import differentiable_attention

Map = Callable[[Tensor], Tensor]  # (b, n) to (b, m), sample by sample


@dataclass(frozen=True)
class Singular:
    """The largest singular values of the samples' Jacobians, from below."""

    values: Tensor  # (b,)
    left: Tensor  # (b, m)
    right: Tensor  # (b, n)


def largest_singular(
    function: Map, x: Tensor, *, steps: int, generator: torch.Generator
) -> Singular:
    """Return ‖J(x)ᵀ u‖ with u from Lanczos on J Jᵀ: at most σ₁ of J, and near it.

    The graph of the gradient is made once; each product with Jᵀ or J is a pass through it. With as
    many steps as outputs the value is σ₁ up to rounding.

    Args:
        function: No sample may depend on another.
        x: Inputs, (b, n).
        steps: Of Lanczos; no more than there are outputs.
        generator: Draws the start vectors.

    Raises:
        ModelError: An operation has a first derivative only.

    Cost: a forward pass, and two backward passes for each step.

    Source: Golub & Van Loan 2013, §10.4.
    """
    with differentiable_attention(), torch.enable_grad():
        x = x.detach().requires_grad_()
        y = function(x)
        if not y.requires_grad:  # the network ignores its inputs
            return Singular(x.new_zeros(len(x)), torch.zeros_like(y), torch.zeros_like(x))
        pulled, pushed = _products(x, y)
        start = torch.randn(y.shape, generator=generator, dtype=torch.float64).to(y)
        left = _top(lambda u: pushed(pulled(u)), start, min(steps, y.shape[1]))
        right = pulled(left)
    values = right.norm(dim=1)
    floor = torch.finfo(values.dtype).tiny
    return Singular(values.detach(), left, right / values.clamp_min(floor)[:, None])


def _products(x: Tensor, y: Tensor) -> tuple[Map, Map]:
    """Return u ↦ Jᵀ u and v ↦ J v; J v is the derivative of u ↦ ⟨Jᵀ u, v⟩.

    Raises:
        ModelError: An operation has a first derivative only.
    """
    dual = torch.zeros_like(y, requires_grad=True)
    try:
        refuse_once_differentiable(y)
    except NotImplementedError as error:
        raise _once(error) from error
    gradient = _derivative(y, x, dual, create_graph=True)

    def pulled(u: Tensor) -> Tensor:
        return _derivative(y, x, u)

    def pushed(v: Tensor) -> Tensor:
        return _derivative(gradient, dual, v) if gradient.requires_grad else torch.zeros_like(y)

    return pulled, pushed


def _derivative(of: Tensor, at: Tensor, vector: Tensor, *, create_graph: bool = False) -> Tensor:
    try:
        return torch.autograd.grad(
            of, at, vector, retain_graph=True, create_graph=create_graph, materialize_grads=True
        )[0]
    except RuntimeError as error:  # NotImplementedError is one of them
        if out_of_memory(error) is not None:
            raise
        raise _once(error) from error


def _once(error: Exception) -> ModelError:
    return ModelError(
        "an operation of this network can be differentiated only once",
        where="the Jacobian in the inputs",
        why=str(error).split("\n")[0],
        hint="write the operation with PyTorch's own, or mark its backward as differentiable",
    )


def _top(product: Map, start: Tensor, steps: int) -> Tensor:
    """Return the top Ritz vectors (b, m) of symmetric operators, one for each row of the start."""
    eps = torch.finfo(start.dtype).eps
    row = start / start.norm(dim=1, keepdim=True)
    basis, images = [row], []
    for step in range(steps):
        image = product(row)
        images.append(image)
        if step == steps - 1:
            break
        rest = image
        for _ in range(2):  # twice is enough (Giraud 2005)
            for other in basis:
                rest = rest - (rest * other).sum(1, keepdim=True) * other
        length = rest.norm(dim=1, keepdim=True)
        ended = length <= 16 * eps * image.norm(dim=1, keepdim=True)
        row = torch.where(ended, 0.0, rest / length.clamp_min(torch.finfo(rest.dtype).tiny))
        basis.append(row)
    rows = torch.stack(basis, 1)  # (b, s, m)
    projected = torch.einsum("bim,bjm->bij", rows, torch.stack(images, 1)).double()
    vectors = torch.linalg.eigh((projected + projected.mT) / 2)[1][:, :, -1]
    top = torch.einsum("bi,bim->bm", vectors.to(rows), rows)
    return top / top.norm(dim=1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny)
