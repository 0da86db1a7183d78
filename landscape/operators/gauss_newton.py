"""The generalised Gauss-Newton matrix of the mean loss."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import jvp

from landscape.errors import DataError, ModelError
from landscape.linalg.operator import LinearOperator
from landscape.operators.graph import refuse_once_differentiable
from landscape.operators.products import reverse_over_reverse, vector_products
from landscape.subject.batch import Batch
from landscape.subject.cost import count_products
from landscape.subject.losses import logits_of
from landscape.subject.network import first_line
from landscape.subject.point import Point
from landscape.subject.subject import Subject
from landscape.subject.undisturbed import differentiable_attention


class GaussNewtonOperator(LinearOperator):
    """v ↦ Jᵀ (∇²ℓ) J v, with J the Jacobian of the outputs in the studied parameters.

    It is the Hessian with the network replaced by its linearisation: positive semi-definite where
    the loss is convex in the outputs, and equal to the Hessian for linear networks.

    Args:
        subject: Network, loss and data.
        point: Where; the subject's last checkpoint by default.

    Raises:
        ModelError: The loss is computed inside the model, so that outputs and loss are not apart.

    Cost of a block of k products: one forward pass and, for each, three backward passes.

    Source: Schraudolph 2002.
    """

    def __init__(self, subject: Subject, point: Point | None = None) -> None:
        if not subject.criterion.separable:
            raise ModelError(
                "the Gauss-Newton matrix needs the loss as a function of the outputs",
                where=f"loss: {subject.criterion.name}",
                why="this loss is computed inside the model",
                hint="use --loss ce, mse or bce, or --operator hessian",
            )
        self.point = point if point is not None else subject.point
        theta = self.point.theta
        size = theta.numel()
        super().__init__((size, size), dtype=theta.dtype, device=theta.device)
        self.subject = subject

    def _products(self, rows: Tensor) -> Tensor:
        total = torch.zeros_like(rows)
        with self.subject.undisturbed(0), differentiable_attention():
            for batch in self.subject.device_batches():
                total += self._batch_products(batch, rows)
        count_products(len(rows))
        return total / self.subject.count

    def _batch_products(self, batch: Batch, rows: Tensor) -> Tensor:
        def outputs_at(theta: Tensor) -> Tensor:
            return logits_of(self.subject.outputs(self.point.moved(theta), batch))

        theta = self.point.theta.detach().requires_grad_()
        outputs = outputs_at(theta)
        if not outputs.requires_grad:
            return torch.zeros_like(rows)
        shape, fixed = outputs.shape, outputs.detach()
        slopes = _slopes(outputs, theta, rows, outputs_at)

        def loss(flat: Tensor) -> Tensor:
            return self.subject.criterion.total(flat.view(shape), batch.targets)

        curved = reverse_over_reverse(loss, fixed.reshape(-1), slopes)
        return vector_products(outputs, theta, curved)


def _slopes(
    outputs: Tensor, theta: Tensor, rows: Tensor, outputs_at: Callable[[Tensor], Tensor]
) -> Tensor:
    """Return J V as rows (k, m): by two backward passes, or by forward mode."""
    weights = torch.zeros_like(outputs, requires_grad=True)
    reasons = []
    try:
        refuse_once_differentiable(outputs)
        (pulled,) = torch.autograd.grad(outputs, theta, weights, create_graph=True)
        return vector_products(pulled, weights, rows).flatten(1)
    except (RuntimeError, NotImplementedError) as error:
        if "out of memory" in str(error):
            raise
        reasons.append(f"reverse: {first_line(error)}")
    try:
        pushed = [jvp(outputs_at, (theta.detach(),), (row,))[1].flatten() for row in rows]
        return torch.stack(pushed)
    except (RuntimeError, NotImplementedError, DataError) as error:
        reasons.append(f"forward: {first_line(error)}")
    raise ModelError(
        "the directional derivative of this network does not exist in PyTorch",
        where="GaussNewtonOperator",
        why="; ".join(reasons),
        hint="replace the operation that is named",
    )
