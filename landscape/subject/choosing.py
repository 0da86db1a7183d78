"""Which loss outputs and targets call for, where none is named."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from landscape.errors import DataError
from landscape.subject.losses import (
    BinaryCrossEntropy,
    CrossEntropy,
    Loss,
    MeanSquaredError,
    ModelLoss,
)
from landscape.subject.outputs import logits_of, member, shape_of, squeezed

LABELS = "labels, label, targets or target"  # under which a mapping is asked for them


def choose_loss(outputs: Any, targets: Any, keys: Iterable[str] = ()) -> tuple[Loss, str]:
    """Return the loss that outputs and targets call for, and the reason.

    Args:
        outputs: Of the model.
        targets: Of the same batch; None where it has none.
        keys: Of the other parts of the batch, where it is a mapping.

    Raises:
        DataError: There are no targets, or nothing fits and the loss must be named.
    """
    if member(outputs, "loss") is not None:
        return ModelLoss(), "the model returns its own loss"
    if targets is None:
        raise without_targets(keys)
    values = logits_of(outputs)
    if _are_binary_labels(values, targets):
        return BinaryCrossEntropy(), "one output per sample, and the targets are 0 or 1"
    if isinstance(targets, Tensor) and not targets.is_floating_point():
        return CrossEntropy(), f"the targets are integers ({targets.dtype})"
    if isinstance(targets, Tensor) and squeezed(values.shape) == squeezed(targets.shape):
        like = "in the shape of the outputs"
        if values.shape != targets.shape:
            like = f"one for each output: {shape_of(targets)} beside {shape_of(values)}"
        return MeanSquaredError(), f"the targets are real numbers, {like}"
    raise DataError(
        "no loss fits the outputs and the targets",
        where="loss: auto",
        why=f"outputs {shape_of(values)}, targets {shape_of(targets)}",
        hint="name one: --loss ce|mse|bce|hf|file.py:fn",
    )


def without_targets(keys: Iterable[str]) -> DataError:
    """Return what to tell of a batch that holds nothing to compare the outputs to.

    Args:
        keys: Of the batch, where it is a mapping.
    """
    names = ", ".join(map(str, keys))
    what = "the mapping has no `labels`" if names else "the batches hold no targets"
    hint = f"rename one of them to {LABELS}" if names else "yield (inputs, targets)"
    return DataError(
        f"{what}; its keys are {names}" if names else what,
        where="data: targets",
        why="the loss compares the outputs of the model to targets",
        hint=f"{hint}, or give a loss of the outputs alone: --loss file.py:fn",
    )


def _are_binary_labels(values: Tensor, targets: Any) -> bool:
    if not isinstance(targets, Tensor) or targets.is_floating_point():
        return False
    single = values.dim() == 1 or (values.dim() == 2 and values.shape[1] == 1)
    return single and values.numel() == targets.numel() and bool(((targets | 1) == 1).all())
