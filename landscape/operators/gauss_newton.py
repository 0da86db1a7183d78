"""The generalised Gauss-Newton matrix of the mean loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from landscape.errors import ModelError
from landscape.operators.bend import hessian_bend
from landscape.operators.curvature import CurvatureOperator
from landscape.operators.local import LocalSquare
from landscape.subject.batch import Batch
from landscape.subject.outputs import logits_of
from landscape.subject.subject import Subject


class OutputsOperator(CurvatureOperator):
    """A curvature that acts through the outputs of the network."""

    def outputs(self, batch: Batch) -> Callable[[Tensor], Tensor]:
        """Return the outputs for a micro-batch as a function of the coordinates (n,)."""
        return lambda theta: logits_of(self.subject.outputs(self.point.moved(theta), batch))

    def value(self, batch: Batch) -> Tensor:
        """Return the squared length of the outputs, a sum over the samples of a batch."""
        return self.outputs(batch)(self.point.theta).double().square().sum()


class GaussNewtonOperator(OutputsOperator):
    """v ↦ Jᵀ (∇²ℓ) J v, with J the Jacobian of the outputs in the studied parameters.

    It is the Hessian with the network replaced by its linearisation: positive semi-definite where
    the loss is convex in the outputs, and equal to the Hessian for linear networks. ∇²ℓ is in
    closed form for `ce`, `mse` and `bce`.

    Raises:
        ModelError: The loss is computed inside the model, so that outputs and loss are not apart.

    Cost of a block of k products: k to 2k gradients.

    Source: Schraudolph 2002.
    """

    def __init__(self, subject: Subject, *arguments: Any, **settings: Any) -> None:
        refuse_inseparable(subject, "the Gauss-Newton matrix")
        super().__init__(subject, *arguments, **settings)

    def local(self, batch: Batch) -> LocalSquare:
        """Return the share of a micro-batch."""
        bend = hessian_bend(self.subject.criterion, batch.targets)
        return LocalSquare(self.outputs(batch), self.point.theta, bend)


def refuse_inseparable(subject: Subject, name: str) -> None:
    """Refuse a loss that is not a function of the outputs.

    Raises:
        ModelError: It is computed inside the model.
    """
    if not subject.criterion.separable:
        raise ModelError(
            f"{name} needs the loss as a function of the outputs",
            where=f"loss: {subject.criterion.name}",
            why="this loss is computed inside the model",
            hint="use --loss ce, mse or bce, or --operator hessian",
        )
