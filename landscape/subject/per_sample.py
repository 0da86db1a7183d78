"""Losses and errors of single samples, whose weighted means are those of the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from landscape.errors import DataError, ModelError
from landscape.subject.custom_loss import CustomLoss
from landscape.subject.losses import (
    IGNORED,
    BinaryCrossEntropy,
    CrossEntropy,
    Loss,
    MeanSquaredError,
    ModelLoss,
)
from landscape.subject.outputs import class_axis, logits_of

AGREEMENT = 1e-3  # relative, of the samples' sum with the model's own loss


@dataclass(frozen=True, kw_only=True)
class PerSample:
    """Sums over what counts in each sample: labels, tokens or elements."""

    losses: Tensor  # (b,)
    errors: Tensor | None  # (b,) how many are wrong; None for regression
    counts: Tensor  # (b,)


def per_sample(loss: Loss, outputs: Any, targets: Any) -> PerSample:
    """Return what each sample adds to the loss, to the number of errors and to the count.

    An error is a label that is not the largest output (`ce`, and `hf` or a function of the user's
    on integer labels), or an element on the wrong side of zero (`bce`); `mse` has none.

    Args:
        loss: Any.
        outputs: Of the network, for a batch.
        targets: Of the batch, samples first.

    Raises:
        ModelError: The loss gives nothing for single samples.
    """
    if isinstance(loss, MeanSquaredError):
        return _squared(logits_of(outputs), targets)
    if isinstance(loss, BinaryCrossEntropy):
        return _binary(logits_of(outputs), targets)
    if isinstance(loss, CrossEntropy):
        return _classified(logits_of(outputs), targets)
    if isinstance(loss, ModelLoss):
        return _of_model(loss, outputs, targets)
    if isinstance(loss, CustomLoss):
        return _custom(loss, outputs, targets)
    raise _none_for_samples(loss.name, "it is of a kind that is not known here")


def _squared(values: Tensor, targets: Tensor) -> PerSample:
    squares = (values - targets.to(values.dtype).view_as(values)).square()
    return PerSample(losses=_sums(squares), errors=None, counts=_sums(torch.ones_like(squares)))


def _binary(values: Tensor, targets: Tensor) -> PerSample:
    labels = targets.to(values.dtype).view_as(values)
    each = F.binary_cross_entropy_with_logits(values, labels, reduction="none")
    wrong = (values > 0) != (labels > 0.5)
    return PerSample(losses=_sums(each), errors=_sums(wrong), counts=_sums(torch.ones_like(each)))


def _classified(logits: Tensor, targets: Tensor) -> PerSample:
    axis = class_axis(logits, targets)
    scores = logits.movedim(axis, 1)
    if targets.is_floating_point():
        each = F.cross_entropy(scores, targets.to(scores.dtype), reduction="none")
        labels, kept = targets.argmax(1), torch.ones_like(each)
    else:
        labels = targets.long()
        each = F.cross_entropy(scores, labels, ignore_index=IGNORED, reduction="none")
        kept = labels != IGNORED
    wrong = (scores.argmax(1) != labels) & kept.bool()
    return PerSample(losses=_sums(each), errors=_sums(wrong), counts=_sums(kept))


def _of_model(loss: ModelLoss, outputs: Any, targets: Any) -> PerSample:
    logits, whole = logits_of(outputs), float(loss.total(outputs, targets).detach())
    for found in _candidates(logits, targets):
        if abs(float(found.losses.sum().detach()) - whole) <= AGREEMENT * abs(whole):
            return found
    why = "no cross-entropy or squared error of its logits gives the loss that the model returns"
    raise _none_for_samples("hf", why)


def _candidates(logits: Tensor, targets: Any) -> list[PerSample]:
    """Return what the model's own loss may be made of, likeliest first."""
    if not isinstance(targets, Tensor):
        return []
    found = []
    if targets.is_floating_point():
        if logits.numel() == targets.numel():
            found = [_squared(logits, targets), _binary(logits, targets)]
    elif targets.dim() > 1 and logits.shape[:-1] == targets.shape:
        found = [_classified(logits[:, :-1], targets[:, 1:]), _classified(logits, targets)]
    elif targets.dim() == 1 and logits.shape[:1] == targets.shape:
        found = [_classified(logits, targets)]
    return found


def _custom(loss: CustomLoss, outputs: Any, targets: Any) -> PerSample:
    each = loss.value(outputs, targets)
    samples = len(targets) if isinstance(targets, Tensor) else len(logits_of(outputs))
    if each.dim() == 0 or len(each) != samples:
        shape = "a scalar" if each.dim() == 0 else f"{len(each)} numbers for {samples} samples"
        raise _none_for_samples("custom", f"the function returned {shape}")
    labels = isinstance(targets, Tensor) and not targets.is_floating_point()
    tokens = labels and targets.shape == each.shape
    kept = targets != IGNORED if tokens else torch.ones_like(each)
    classes = are_classes(outputs, targets)
    errors = _classified(logits_of(outputs), targets).errors if classes else None
    return PerSample(losses=_sums(each), errors=errors, counts=_sums(kept))


def are_classes(outputs: Any, targets: Any) -> bool:
    """Return whether the targets are labels of classes that the outputs score."""
    if not isinstance(targets, Tensor) or targets.is_floating_point():
        return False
    try:
        CrossEntropy().check(outputs, targets)
    except (DataError, ModelError):
        return False
    return True


def _sums(values: Tensor) -> Tensor:
    return values.double().flatten(1).sum(1) if values.dim() > 1 else values.double()


def _none_for_samples(loss: str, why: str) -> ModelError:
    return ModelError(
        f"the loss {loss} gives no loss for single samples",
        where="loss",
        why=f"{why}; the doubt of a barrier comes from the samples",
        hint="give a function that returns one loss per sample or token: --loss file.py:fn",
    )
