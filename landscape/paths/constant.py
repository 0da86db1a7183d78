"""The best prediction that ignores the input: what a network must beat to have learned."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape.errors import DataError
from landscape.subject.batch import Batch
from landscape.subject.losses import (
    IGNORED,
    BinaryCrossEntropy,
    CrossEntropy,
    Loss,
    MeanSquaredError,
)
from landscape.subject.outputs import class_axis, logits_of
from landscape.subject.per_sample import are_classes
from landscape.subject.subject import Subject

STEPS = 100  # of L-BFGS, for losses without a closed form


@dataclass(frozen=True, kw_only=True)
class Constant:
    """The loss and the error of the best constant prediction; no error for regression."""

    loss: float
    error: float | None


def best_constant(subject: Subject, batches: Iterable[Batch]) -> Constant:
    """Return the loss and the error of the best prediction that is the same for every sample.

    `ce`: the entropy of the labels' frequencies p, and 1 − max p. `bce`: the same for every output,
    averaged. `mse`: the variance about the mean of every output. Other losses are minimised over
    the outputs by L-BFGS, from the mean output of the network.

    Args:
        subject: Gives network and loss.
        batches: On its device.

    Raises:
        DataError: The loss of the model's own cannot be had for a constant.
    """
    left = iter(batches)
    first = next(left)
    loss, targets = subject.criterion, [first.targets, *(batch.targets for batch in left)]
    if isinstance(loss, MeanSquaredError):
        rows = _rows(targets)
        return Constant(loss=float(rows.var(0).mean()), error=None)
    if isinstance(loss, BinaryCrossEntropy):
        return _binary(_rows(targets))
    with subject.undisturbed(0), torch.no_grad():
        outputs = logits_of(subject.outputs(subject.point, first))
    integer = all(isinstance(one, Tensor) and not one.is_floating_point() for one in targets)
    if isinstance(loss, CrossEntropy):
        return _classes(_frequencies(targets, outputs) if integer else _mean_target(targets))
    if not loss.separable:
        return _of_model(loss, outputs, targets, integer=integer)
    return _minimised(subject, targets, outputs)


def _classes(frequencies: tuple[np.ndarray, np.ndarray]) -> Constant:
    mean, votes = frequencies
    inside = mean[mean > 0]
    return Constant(loss=float(-(inside * np.log(inside)).sum()), error=float(1 - votes.max()))


def _frequencies(targets: Sequence[Tensor], outputs: Tensor) -> tuple[np.ndarray, np.ndarray]:
    classes = outputs.shape[class_axis(outputs, targets[0])]
    counts = torch.zeros(classes, dtype=torch.float64)
    for one in targets:
        counts += torch.bincount(one[one != IGNORED].long().flatten().cpu(), minlength=classes)
    share = (counts / counts.sum()).numpy()
    return share, share


def _mean_target(targets: Sequence[Tensor]) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of class probabilities, and how often each class is the likeliest."""
    rows = torch.cat([one.movedim(1, -1).flatten(0, -2).double().cpu() for one in targets])
    votes = torch.bincount(rows.argmax(1), minlength=rows.shape[1]) / len(rows)
    return rows.mean(0).numpy(), votes.numpy()


def _binary(rows: np.ndarray) -> Constant:
    p = rows.mean(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.where(p > 0, p * np.log(p), 0.0) - np.where(p < 1, (1 - p) * np.log1p(-p), 0)
    ones = (rows > 0.5).mean(0)
    return Constant(
        loss=float(np.nan_to_num(entropy).mean()), error=float(np.minimum(ones, 1 - ones).mean())
    )


def _of_model(loss: Loss, outputs: Tensor, targets: Sequence[Any], *, integer: bool) -> Constant:
    if integer and outputs.dim() > 1:
        return _classes(_frequencies(targets, outputs))
    if all(isinstance(one, Tensor) and one.numel() for one in targets):
        return Constant(loss=float(_rows(targets).var(0).mean()), error=None)
    raise DataError(
        "the best constant prediction of the model's own loss is not known",
        where=f"loss: {loss.name}",
        why="the batches hold no labels",
        hint="give the tolerance itself, or a loss of outputs and targets: --loss file.py:fn",
    )


def _rows(targets: Sequence[Tensor]) -> np.ndarray:  # (N, outputs)
    """Return the targets as rows of outputs; in one column when samples differ in shape."""
    shapes = {one.shape[1:] for one in targets}
    size = -1 if len(shapes) > 1 else max(1, targets[0].shape[1:].numel())
    columns = [one.double().reshape(-1, 1 if size < 0 else size) for one in targets]
    return torch.cat(columns).cpu().numpy()


def _minimised(subject: Subject, targets: Sequence[Any], outputs: Tensor) -> Constant:
    loss = subject.criterion
    value = outputs.double().mean(0).detach().clone().requires_grad_()
    optimizer = torch.optim.LBFGS([value], max_iter=STEPS, line_search_fn="strong_wolfe")

    def spread(target: Any) -> Tensor:
        return value.to(outputs.dtype).expand(len(target), *value.shape)

    def mean() -> Tensor:
        sums = [loss.total(spread(one), one) for one in targets]
        return torch.stack(sums).sum() / count

    def closure() -> Tensor:
        optimizer.zero_grad()
        found = mean()
        found.backward()
        return found

    with subject.undisturbed(0):
        with torch.no_grad():
            count = sum(loss.count(spread(one), one) for one in targets)
        optimizer.step(closure)  # pyright: ignore[reportArgumentType] - it may return a tensor
        with torch.no_grad():
            found = float(mean())
    labelled = are_classes(outputs, targets[0])
    error = _classes(_frequencies(targets, outputs)).error if labelled else None
    return Constant(loss=found, error=error)
