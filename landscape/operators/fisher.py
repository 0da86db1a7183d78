"""The Fisher information matrix, from the labels that are given or from labels that are drawn."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from landscape.errors import ModelError
from landscape.operators.bend import outer_bend
from landscape.operators.gauss_newton import OutputsOperator, refuse_inseparable
from landscape.operators.local import LocalSquare
from landscape.subject.batch import Batch
from landscape.subject.losses import (
    IGNORED,
    BinaryCrossEntropy,
    CrossEntropy,
    Loss,
    MeanSquaredError,
)
from landscape.subject.outputs import class_axis
from landscape.subject.subject import Subject
from landscape.subject.undisturbed import differentiable_attention


class FisherOperator(OutputsOperator):
    """v ↦ Σ_i g_i (g_iᵀ v) / count, with g_i the gradient of one sample's loss.

    With `draws` the labels of each sample are drawn that often from the distribution that the
    network predicts, and the matrix estimates the Fisher information, which is the Gauss-Newton
    matrix for `ce`, `bce` and `mse` (a Gaussian of variance ½). Without, the labels are those of
    the data: the empirical Fisher, which is another matrix (Kunstner, Balles & Hennig 2019, arXiv
    1905.12558). A sample of `ce` on sequences is a token, of other losses a row of the batch.

    Args:
        subject: Network, loss and data.
        draws: How many labels are drawn for each sample; None: the empirical Fisher.
        seed: Of the draws.
        settings: Further arguments of `CurvatureOperator`.

    Raises:
        ModelError: The loss is computed inside the model, or it is no likelihood to draw from.
        SettingError: The empirical Fisher in train mode.

    Cost of a block of k products: k to 2k gradients.

    Source: Amari 1998; Martens 2014, arXiv 1412.1193.
    """

    def __init__(
        self,
        subject: Subject,
        *arguments: Any,
        draws: int | None = 1,
        seed: int = 0,
        **settings: Any,
    ) -> None:
        refuse_inseparable(subject, "the Fisher matrix")
        if draws is not None and not isinstance(subject.criterion, _LIKELIHOODS):
            raise ModelError(
                f"no labels can be drawn for the loss {subject.criterion.name}",
                where="FisherOperator",
                why="it is not known which distribution of labels it is the likelihood of",
                hint="use the empirical Fisher, or --loss ce, mse or bce",
            )
        if draws is None:
            subject.refuse_dependent("the empirical Fisher matrix, of single samples' gradients,")
        super().__init__(subject, *arguments, **settings)
        self.draws = draws
        self._seed = seed

    def source(self) -> Iterable[Batch]:
        """Return the batches on the device, with the labels that were drawn."""
        return super().source() if self.draws is None else self._drawn

    def local(self, batch: Batch) -> LocalSquare:
        """Return the share of a micro-batch."""
        labels = [batch.targets] if self.draws is None else list(batch.targets.unbind(1))
        bend = outer_bend(self.subject.criterion, labels)
        return LocalSquare(self.outputs(batch), self.point.theta, bend)

    @cached_property
    def _drawn(self) -> list[Batch]:
        """Return the batches with labels (samples, draws, ...) in place of the targets."""
        generator = torch.Generator().manual_seed(self._seed)
        batches = []
        with self.subject.undisturbed(0), torch.no_grad(), differentiable_attention():
            for batch in self.subject.device_batches():
                outputs = self.outputs(batch)(self.point.theta)
                labels = [
                    _draw(self.subject.criterion, outputs, batch.targets, generator)
                    for _ in range(self.draws or 1)
                ]
                batches.append(replace(batch, targets=torch.stack(labels, dim=1)))
        return batches


_LIKELIHOODS = (CrossEntropy, MeanSquaredError, BinaryCrossEntropy)


def _draw(loss: Loss, outputs: Tensor, targets: Tensor, generator: torch.Generator) -> Tensor:
    """Return labels drawn from the predicted distribution, on the CPU for one answer everywhere."""
    values = outputs.detach().cpu()
    if isinstance(loss, CrossEntropy):
        last = values.movedim(class_axis(outputs, targets), -1)
        shares = last.softmax(-1).flatten(0, -2)
        drawn = torch.multinomial(shares, 1, generator=generator).view(last.shape[:-1])
        if targets.is_floating_point():  # a certain label, on the axis of the probabilities
            return F.one_hot(drawn, last.shape[-1]).movedim(-1, 1).to(outputs)
        return drawn.to(outputs.device).where(targets != IGNORED, IGNORED)
    if isinstance(loss, BinaryCrossEntropy):
        drawn = torch.bernoulli(values.sigmoid(), generator=generator)
    else:
        noise = torch.randn(values.shape, generator=generator, dtype=values.dtype)
        drawn = values + noise * 0.5**0.5
    return drawn.to(outputs.device)
