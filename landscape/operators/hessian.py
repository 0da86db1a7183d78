"""The Hessian of the mean loss."""

from __future__ import annotations

import torch
from torch import Tensor

from landscape.errors import DataError, ModelError
from landscape.linalg.operator import LinearOperator
from landscape.operators.products import WAYS, Objective, Way
from landscape.subject.cost import count_products
from landscape.subject.network import first_line
from landscape.subject.point import Point
from landscape.subject.subject import Subject
from landscape.subject.undisturbed import differentiable_attention


class HessianOperator(LinearOperator):
    """v ↦ ∇²L(θ) v over the studied parameters, exact over the whole dataset.

    Args:
        subject: Network, loss and data.
        point: Where; the subject's last checkpoint by default.

    Attention runs on the kernel that can be differentiated twice while products are computed. The
    first product finds out which differentiation mode exists for this network.

    Cost of a block of k products: one forward, one backward and k second backward passes.
    """

    def __init__(self, subject: Subject, point: Point | None = None) -> None:
        self.point = point if point is not None else subject.point
        theta = self.point.theta
        size = theta.numel()
        super().__init__((size, size), dtype=theta.dtype, device=theta.device)
        self.subject = subject
        self.way: Way | None = None

    def _products(self, rows: Tensor) -> Tensor:
        total = torch.zeros_like(rows)
        with self.subject.undisturbed(0), differentiable_attention():
            for batch in self.subject.device_batches():
                total += self._batch_products(self.subject.objective(self.point, batch), rows)
        count_products(len(rows))
        return total / self.subject.count

    def _batch_products(self, objective: Objective, rows: Tensor) -> Tensor:
        if self.way is None:
            self.way, first = _first_way(objective, self.point.theta, rows)
            return first
        return WAYS[self.way](objective, self.point.theta, rows)


def _first_way(objective: Objective, theta: Tensor, rows: Tensor) -> tuple[Way, Tensor]:
    reasons = []
    for way, products in WAYS.items():
        try:
            return way, products(objective, theta, rows)
        except (RuntimeError, NotImplementedError, DataError) as error:
            if "out of memory" in str(error):
                raise
            reasons.append(f"{way}: {first_line(error)}")
    raise ModelError(
        "the second derivative of this network does not exist in PyTorch",
        where="HessianOperator",
        why="; ".join(reasons),
        hint="use --operator gauss-newton, or replace the operation that is named",
    )
