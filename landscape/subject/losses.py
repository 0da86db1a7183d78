"""Losses as sums over what counts, so that ragged batches add up exactly.

The loss of a dataset is the sum over what counts, divided by the count: samples for `ce` on one
label per sample, tokens that are not ignored for `ce` on sequences, elements for `mse` and `bce`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from landscape.errors import DataError, ModelError
from landscape.subject.outputs import classes_second, logits_of, member, shape_of, squeezed

IGNORED = -100
ROUNDED = 1e-3  # how far the sum of class probabilities may be from 1; more in half precision


class Loss(ABC):
    """A sum over what counts, and the count."""

    name: ClassVar[str]
    separable: ClassVar[bool] = True  # a function of outputs and targets alone
    needs_targets: ClassVar[bool] = False

    @property
    def digest(self) -> str:
        """Return what tells the loss from others."""
        return self.name

    @abstractmethod
    def total(self, outputs: Any, targets: Any) -> Tensor:
        """Return the summed loss of a batch, a scalar."""

    @abstractmethod
    def count(self, outputs: Any, targets: Any) -> int:
        """Return how many items the sum runs over."""

    def check(self, outputs: Any, targets: Any) -> None:  # noqa: B027 - anything may fit
        """Raise `DataError` when outputs and targets do not fit together."""

    def check_mean(self, outputs: Any, targets: Any) -> None:  # noqa: B027 - most losses are sums
        """Raise `ModelError` when batches cannot be added up."""


class CrossEntropy(Loss):
    """−log softmax at the label; classes on dimension 1, or last for sequences; −100 ignored."""

    name = "ce"
    needs_targets = True

    def total(self, outputs: Any, targets: Any) -> Tensor:
        """Return the summed cross-entropy."""
        logits, labels = classes_second(logits_of(outputs), targets)
        return F.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum")

    def count(self, outputs: Any, targets: Any) -> int:
        """Return the number of labels that are not ignored."""
        if targets.is_floating_point():  # class probabilities: one distribution per sample
            return targets.numel() // targets.shape[1]
        return int((targets != IGNORED).sum())

    def check(self, outputs: Any, targets: Any) -> None:
        """Raise `DataError` for labels that no output stands for, and for a single class.

        Real numbers must be class probabilities: none below 0, and 1 in sum along dimension 1.
        """
        logits = logits_of(outputs)
        if logits.dim() < 2 or targets.dtype == torch.bool:
            raise _mismatch("ce", logits, targets)
        if targets.is_floating_point():
            if targets.shape != logits.shape:
                raise _mismatch("ce", logits, targets)
            _require_classes(logits.shape[1], "mse")
            _require_probabilities(targets)
            return
        last = logits.shape[:-1] == targets.shape
        if not last and logits.shape[:1] + logits.shape[2:] != targets.shape:
            raise _mismatch("ce", logits, targets)
        classes = logits.shape[-1] if last and targets.dim() > 1 else logits.shape[1]
        _require_classes(classes, "bce")
        kept = targets[targets != IGNORED]
        if kept.numel() and (kept.min() < 0 or kept.max() >= classes):
            worst = int(kept.min() if kept.min() < 0 else kept.max())
            raise DataError(
                f"label {worst} but the model has {classes} outputs",
                where="data: targets",
                why=f"labels must lie in 0 … {classes - 1} (−100 is ignored)",
                hint="check the number of classes of the model and the labels of the data",
            )


class MeanSquaredError(Loss):
    """(output − target)², mean over all elements."""

    name = "mse"
    needs_targets = True

    def total(self, outputs: Any, targets: Any) -> Tensor:
        """Return the summed squared error."""
        values = logits_of(outputs)
        return (values - targets.to(values.dtype).view_as(values)).square().sum()

    def count(self, outputs: Any, targets: Any) -> int:
        """Return the number of elements."""
        return logits_of(outputs).numel()

    def check(self, outputs: Any, targets: Any) -> None:
        """Raise `DataError` when the shapes differ by more than an axis of length one."""
        values = logits_of(outputs)
        if squeezed(values.shape) != squeezed(targets.shape):
            raise _mismatch("mse", values, targets)


class BinaryCrossEntropy(Loss):
    """Cross-entropy of logits against labels in [0, 1], mean over all elements."""

    name = "bce"
    needs_targets = True

    def total(self, outputs: Any, targets: Any) -> Tensor:
        """Return the summed binary cross-entropy of logits."""
        values = logits_of(outputs)
        labels = targets.to(values.dtype).view_as(values)
        return F.binary_cross_entropy_with_logits(values, labels, reduction="sum")

    def count(self, outputs: Any, targets: Any) -> int:
        """Return the number of elements."""
        return logits_of(outputs).numel()

    def check(self, outputs: Any, targets: Any) -> None:
        """Raise `DataError` for other shapes or labels outside [0, 1]."""
        values = logits_of(outputs)
        if squeezed(values.shape) != squeezed(targets.shape):
            raise _mismatch("bce", values, targets)
        if targets.min() < 0 or targets.max() > 1:
            raise DataError(
                f"bce needs labels in [0, 1], got {float(targets.min()):g} … "
                f"{float(targets.max()):g}",
                where="data: targets",
                why="a target of bce is a probability",
                hint="use --loss ce for class indices, --loss mse for regression",
            )


class ModelLoss(Loss):
    """The loss that the model computes itself, as Hugging Face models do (`outputs.loss`).

    It is a mean; the count that undoes it (all labels, or labels shifted by one) is the one that
    reproduces it from the logits, found once per batch.
    """

    name = "hf"
    separable = False

    def total(self, outputs: Any, targets: Any) -> Tensor:
        """Return the model's mean loss times the count; a batch where nothing counts adds 0."""
        count = self.count(outputs, targets)
        return member(outputs, "loss") * count if count else logits_of(outputs).sum() * 0

    def count(self, outputs: Any, targets: Any) -> int:
        """Return the number of labels behind the model's mean."""
        if targets is None or targets.is_floating_point() or targets.dim() < 2:
            return len(targets) if targets is not None else 1
        whole, shifted = (int((part != IGNORED).sum()) for part in (targets, targets[:, 1:]))
        logits = member(outputs, "logits")
        if logits.shape[:2] != targets.shape:
            return whole
        with torch.no_grad():
            mean = F.cross_entropy(
                logits[:, :-1].flatten(0, 1).float(),
                targets[:, 1:].flatten(),
                ignore_index=IGNORED,
            )
        agrees = torch.isclose(mean, member(outputs, "loss").float(), rtol=1e-3)
        return shifted if bool(agrees) else whole

    def check(self, outputs: Any, targets: Any) -> None:
        """Raise `ModelError` when the model returns no loss."""
        if member(outputs, "loss") is None:
            raise ModelError(
                "the model returned no loss",
                where="loss: hf",
                why="with --loss hf the model is called with the labels and must return .loss",
                hint="use --loss ce, or check the key of the labels in the batch",
            )


BUILT_IN: Mapping[str, type[Loss]] = {
    "ce": CrossEntropy,
    "mse": MeanSquaredError,
    "bce": BinaryCrossEntropy,
    "hf": ModelLoss,
}


def _require_classes(classes: int, instead: str) -> None:
    """Raise `DataError` for a cross-entropy of one class, which is 0 whatever the weights."""
    if classes == 1:
        raise DataError(
            "ce of a single output is 0 whatever the weights",
            where="data: targets",
            why="ce compares the outputs of several classes; the model has 1",
            hint=f"use --loss {instead}",
        )


def _require_probabilities(targets: Tensor) -> None:
    """Raise `DataError` for real targets that are no class probabilities along dimension 1."""
    sums = targets.detach().double().sum(1)
    slack = max(ROUNDED, 2 * torch.finfo(targets.dtype).eps)
    least, worst = float(targets.min()), float(sums.flatten()[(sums - 1).abs().argmax()])
    if least >= 0 and abs(worst - 1) <= slack:
        return
    raise DataError(
        "the targets are real numbers, but no class probabilities, as ce needs",
        where="data: targets",
        why=(
            "probabilities are at least 0 and sum to 1 over the classes (dimension 1); here the "
            f"least is {least:.4g}, and a sum is {worst:.4g}"
        ),
        hint="use mse for regression: --loss mse; for ce give class indices or probabilities",
    )


def _mismatch(loss: str, outputs: Tensor, targets: Tensor) -> DataError:
    return DataError(
        f"outputs and targets do not fit the loss {loss}",
        where="data: targets",
        why=f"outputs {shape_of(outputs)}, targets {shape_of(targets)}",
        hint="choose another loss (--loss ce|mse|bce|hf|file.py:fn) or fix the data",
    )
