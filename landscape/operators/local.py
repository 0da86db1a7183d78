"""The share of one micro-batch in a curvature matrix, as a linear function of vectors.

Each share is given twice: as a function that forward-mode differentiation evaluates, one vector at
a time, and as products with an autograd graph that is built once. Neither exists for every
operation of PyTorch, and neither is always the faster one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.func import grad, jvp, vjp, vmap

from landscape.operators.graph import narrowest, refuse_once_differentiable

Objective = Callable[[Tensor], Tensor]  # (n,) -> scalar
Rows = Callable[[Tensor], Tensor]  # (k, n) -> (k, n), linear in each row
Bend = Callable[[Tensor], Rows]  # outputs -> their curvature, (k, *outputs) -> (k, *outputs)


class Local(Protocol):
    """A symmetric matrix that belongs to one micro-batch."""

    def forward(self, vector: Tensor) -> Tensor:
        """Return its product with a vector (n,), by forward mode."""
        ...

    def graph(self) -> Rows:
        """Return its products with rows, from a graph of reverse mode that is built now."""
        ...

    def difference(self, vector: Tensor, step: float) -> tuple[Tensor, float]:
        """Return its product with a vector (n,) by a central difference, and rounding's share."""
        ...

    def precision(self) -> torch.dtype:
        """Return the least precise type that the network computes in."""
        ...


@dataclass(frozen=True)
class LocalHessian:
    """The Hessian of a summed loss.

    Source: Pearlmutter 1994 (forward over reverse).
    """

    objective: Objective
    theta: Tensor  # (n,)

    def forward(self, vector: Tensor) -> Tensor:
        """Return H v as the directional derivative of the gradient."""
        return jvp(grad(self.objective), (self.theta,), (vector,))[1]

    def graph(self) -> Rows:
        """Return products by differentiating the gradient's graph."""
        theta = self.theta.detach().requires_grad_()
        value = self.objective(theta)
        if not value.requires_grad:
            return torch.zeros_like
        refuse_once_differentiable(value)
        (gradient,) = torch.autograd.grad(value, theta, create_graph=True)
        return lambda rows: transposed_products(gradient, theta, rows)

    def difference(self, vector: Tensor, step: float) -> tuple[Tensor, float]:
        """Return (∇L(θ + hv) − ∇L(θ − hv)) / 2h with h = step · max(1, ‖θ‖) / ‖v‖."""
        return central_difference(self._gradient, self.theta, vector, step)

    def precision(self) -> torch.dtype:
        """Return the least precise type from the coordinates to the loss."""
        return narrowest(self.objective(self.theta.detach().requires_grad_()))

    def _gradient(self, theta: Tensor) -> Tensor:
        theta = theta.detach().requires_grad_()
        value = self.objective(theta)
        if not value.requires_grad:
            return torch.zeros_like(theta)
        (gradient,) = torch.autograd.grad(value, theta, allow_unused=True)
        return torch.zeros_like(theta) if gradient is None else gradient


@dataclass(frozen=True)
class LocalSquare:
    """Jᵀ S J, with J the Jacobian of the outputs and S their curvature.

    Source: Schraudolph 2002.
    """

    outputs: Callable[[Tensor], Tensor]  # (n,) -> outputs
    theta: Tensor  # (n,)
    bend: Bend

    def forward(self, vector: Tensor) -> Tensor:
        """Return Jᵀ S (J v), with J v by forward mode."""
        pushed: Any = jvp(self.outputs, (self.theta,), (vector,))
        pulling: Any = vjp(self.outputs, self.theta)
        curved = self.bend(pushed[0])(pushed[1].unsqueeze(0)).squeeze(0)
        with torch.no_grad():  # a graph of the first derivative is not needed
            return pulling[1](curved)[0]

    def graph(self) -> Rows:
        """Return products from one forward pass: J v as the derivative of Jᵀ w in w."""
        theta = self.theta.detach().requires_grad_()
        outputs = self.outputs(theta)
        if not outputs.requires_grad:
            return torch.zeros_like
        refuse_once_differentiable(outputs)
        weights = torch.zeros_like(outputs, requires_grad=True)
        (pulled,) = torch.autograd.grad(outputs, theta, weights, create_graph=True)
        curved = self.bend(outputs.detach())

        def products(rows: Tensor) -> Tensor:
            slopes = transposed_products(pulled, weights, rows)
            return transposed_products(outputs, theta, curved(slopes))

        return products

    def difference(self, vector: Tensor, step: float) -> tuple[Tensor, float]:
        """Return Jᵀ S d, with J v replaced by a central difference d of the outputs."""
        slope, noise = central_difference(self._values, self.theta, vector, step)
        theta = self.theta.detach().requires_grad_()
        outputs = self.outputs(theta)
        if not outputs.requires_grad:
            return torch.zeros_like(vector), 0.0
        curved = self.bend(outputs.detach())(slope.unsqueeze(0))
        pulled = transposed_products(outputs, theta, curved)[0]
        grown = float(pulled.norm() / slope.norm().clamp_min(1e-300))
        return pulled, noise * grown

    def precision(self) -> torch.dtype:
        """Return the least precise type from the coordinates to the outputs."""
        return narrowest(self.outputs(self.theta.detach().requires_grad_()))

    def _values(self, theta: Tensor) -> Tensor:
        with torch.no_grad():
            return self.outputs(theta)


def central_difference(
    function: Callable[[Tensor], Tensor], theta: Tensor, vector: Tensor, step: float
) -> tuple[Tensor, float]:
    """Return the derivative of a function along a vector, and how large rounding may make it."""
    lengths = [float(torch.linalg.vector_norm(x, dtype=torch.float64)) for x in (theta, vector)]
    size = step * max(1.0, lengths[0]) / max(lengths[1], 1e-300)
    ahead, behind = function(theta + size * vector), function(theta - size * vector)
    rounding = 16 * torch.finfo(theta.dtype).eps * float(ahead.norm()) / size
    return (ahead - behind) / (2 * size), rounding


def vectorised(local: Local) -> Rows:
    """Return the products of forward mode with all rows at once."""

    def products(rows: Tensor) -> Tensor:
        with _quiet():
            if len(rows) == 1:
                return local.forward(rows[0]).unsqueeze(0)
            return vmap(local.forward)(rows)

    return products


def one_by_one(local: Local) -> Rows:
    """Return the products of forward mode with one row after another."""

    def products(rows: Tensor) -> Tensor:
        with _quiet():
            return torch.stack([local.forward(row) for row in rows])

    return products


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to itself that PyTorch's forward mode is made with tools that PyTorch deprecates."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def transposed_products(outputs: Tensor, inputs: Tensor, rows: Tensor) -> Tensor:
    """Return the transposed Jacobian of outputs in inputs applied to rows (k, *outputs)."""
    if not outputs.requires_grad:
        return rows.new_zeros(len(rows), *inputs.shape)
    found = []
    for row in rows:
        (product,) = torch.autograd.grad(
            outputs, inputs, row.view_as(outputs), retain_graph=True, allow_unused=True
        )
        found.append(torch.zeros_like(inputs) if product is None else product)
    return torch.stack(found)
