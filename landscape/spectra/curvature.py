"""The operator whose spectrum is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Literal

import torch
from torch import Tensor

from landscape.linalg.operator import DiagonalOperator, LinearOperator
from landscape.operators.curvature import CurvatureOperator
from landscape.operators.fisher import FisherOperator
from landscape.operators.gauss_newton import GaussNewtonOperator
from landscape.operators.hessian import HessianOperator
from landscape.operators.preconditioned import PreconditionedOperator
from landscape.subject.subject import Subject

Kind = Literal["hessian", "gauss-newton", "fisher", "empirical-fisher", "residual"]

NAMES = {
    "hessian": "Hessian",
    "gauss-newton": "Gauss-Newton matrix",
    "fisher": "Fisher matrix",
    "empirical-fisher": "empirical Fisher matrix",
    "residual": "residual H − G",
}


@dataclass(frozen=True, kw_only=True)
class Curvature:
    """Which matrix is studied.

    A = P^(−½) (M + w I) P^(−½), with M a mean over the data, w the weight decay and P a positive
    diagonal.

    Args:
        kind: M: the Hessian, the Gauss-Newton matrix G, a Fisher matrix, or H − G.
        weight_decay: w ≥ 0.
        preconditioner: P (n,); None: the identity.
        seed: Of the labels that the Fisher matrix draws.
    """

    kind: Kind
    weight_decay: float = 0.0
    preconditioner: Tensor | None = None
    seed: int = 0

    def terms(self, subject: Subject) -> list[tuple[float, CurvatureOperator]]:
        """Return M as a weighted sum of means over the data."""
        if self.kind == "residual":
            hessian = HessianOperator(subject)
            return [
                (1.0, hessian),
                (-1.0, GaussNewtonOperator(subject)),
            ]
        if self.kind == "gauss-newton":
            return [(1.0, GaussNewtonOperator(subject))]
        if self.kind == "hessian":
            return [(1.0, HessianOperator(subject))]
        draws = 1 if self.kind == "fisher" else None
        drawn = FisherOperator(subject, draws=draws, seed=self.seed)
        return [(1.0, drawn)]

    def of(self, subject: Subject) -> LinearOperator:
        """Return A over a subject's data."""
        parts: list[LinearOperator] = [
            term if weight == 1 else weight * term for weight, term in self.terms(subject)
        ]
        if self.weight_decay:
            theta = subject.point.theta
            parts.append(DiagonalOperator(torch.full_like(theta, self.weight_decay)))
        made = reduce(add, parts)
        if self.preconditioner is None:
            return made
        return PreconditionedOperator(made, self.preconditioner)

    def inward(self, rows: Tensor) -> Tensor:
        """Return P^(−½) v for rows v (k, n)."""
        if self.preconditioner is None:
            return rows
        return rows * self.preconditioner.to(rows.device).double().rsqrt().to(rows.dtype)

    def gradient(self, subject: Subject) -> Tensor:  # (n,)
        """Return the gradient in the coordinates in which A is the Hessian: P^(−½) (g + w θ)."""
        theta = subject.point.theta
        return self.inward(subject.gradient(subject.point) + self.weight_decay * theta)

    def loss(self, subject: Subject, theta: Tensor) -> float:
        """Return the mean loss at some coordinates (n,), with ½ w ‖θ‖²."""
        square = float(theta.double().square().sum())
        return subject.loss(subject.point.moved(theta)) + self.weight_decay * square / 2


def differentiation(operator: LinearOperator) -> str:
    """Return how the products of an operator were computed, in words."""
    return "; ".join(dict.fromkeys(_ways(operator)))


def _ways(operator: object) -> Iterator[str]:
    if isinstance(operator, CurvatureOperator):
        yield operator.engine.way
    for name in ("inner", "left", "right"):
        if (part := getattr(operator, name, None)) is not None:
            yield from _ways(part)
