"""Losses as sums over what counts, so that ragged batches add up exactly.

The loss of a dataset is the sum over what counts, divided by the count: samples for `ce` on one
label per sample, tokens that are not ignored for `ce` on sequences, elements for `mse` and `bce`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from landscape.errors import DataError, ModelError, out_of_memory
from landscape.subject.identity import function_digest
from landscape.subject.traces import user_position, user_traceback

IGNORED = -100
LABELS = "labels, label, targets or target"  # under which a mapping is asked for them
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
        if _squeezed(values.shape) != _squeezed(targets.shape):
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
        if _squeezed(values.shape) != _squeezed(targets.shape):
            raise _mismatch("bce", values, targets)
        if targets.min() < 0 or targets.max() > 1:
            raise DataError(
                f"bce needs labels in [0, 1], got {float(targets.min()):g} … "
                f"{float(targets.max()):g}",
                where="data: targets",
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
        return _member(outputs, "loss") * count if count else logits_of(outputs).sum() * 0

    def count(self, outputs: Any, targets: Any) -> int:
        """Return the number of labels behind the model's mean."""
        if targets is None or targets.is_floating_point() or targets.dim() < 2:
            return len(targets) if targets is not None else 1
        whole, shifted = (int((part != IGNORED).sum()) for part in (targets, targets[:, 1:]))
        logits = _member(outputs, "logits")
        if logits.shape[:2] != targets.shape:
            return whole
        with torch.no_grad():
            mean = F.cross_entropy(
                logits[:, :-1].flatten(0, 1).float(),
                targets[:, 1:].flatten(),
                ignore_index=IGNORED,
            )
        agrees = torch.isclose(mean, _member(outputs, "loss").float(), rtol=1e-3)
        return shifted if bool(agrees) else whole

    def check(self, outputs: Any, targets: Any) -> None:
        """Raise `ModelError` when the model returns no loss."""
        if _member(outputs, "loss") is None:
            raise ModelError(
                "the model returned no loss",
                where="loss: hf",
                why="with --loss hf the model is called with the labels and must return .loss",
                hint="use --loss ce, or check the key of the labels in the batch",
            )


@dataclass(frozen=True)
class CustomLoss(Loss):
    """A user's function of outputs and targets: one loss per item, or the batch mean."""

    function: Callable[[Any, Any], Any]
    name = "custom"

    @property
    def digest(self) -> str:
        """Return what tells the function from others."""
        return function_digest(self.function)

    def total(self, outputs: Any, targets: Any) -> Tensor:
        """Return the sum of what the function returns, a mean times the samples."""
        value = self.value(outputs, targets)
        return value.sum() if value.dim() else value * self.count(outputs, targets)

    def count(self, outputs: Any, targets: Any) -> int:
        """Return the number of losses, or of samples when the function returns their mean."""
        with torch.no_grad():
            value = self.value(outputs, targets)
        if value.dim():
            tokens = isinstance(targets, Tensor) and not targets.is_floating_point()
            if tokens and targets.shape == value.shape:
                return int((targets != IGNORED).sum())
            return value.numel()
        return len(targets if isinstance(targets, Tensor) else logits_of(outputs))

    def check_mean(self, outputs: Any, targets: Any) -> None:
        """Raise `ModelError` when the function returns a scalar that is no mean over samples."""
        whole = self.value(outputs, targets)
        size = len(targets) if isinstance(targets, Tensor) else 0
        if whole.dim() or size < 2 or not isinstance(outputs, Tensor):
            return
        half = size // 2
        first = self.value(outputs[:half], targets[:half])
        second = self.value(outputs[half:], targets[half:])
        parts = (half * first + (size - half) * second) / size
        if not torch.isclose(whole, parts, rtol=1e-3):
            raise ModelError(
                "the loss function returns a scalar that is not the mean over samples",
                where=f"loss: {self._called}",
                why=f"{float(whole):.6g} for a batch, {float(parts):.6g} from its two halves, so "
                "several batches cannot be added up",
                hint="return one loss per sample or token, or give all data as one batch",
            )

    @property
    def _called(self) -> str:
        return str(getattr(self.function, "__name__", self.function))

    def value(self, outputs: Any, targets: Any) -> Tensor:
        """Return what the function returns.

        Raises:
            ModelError: It raised, or returned no tensor.
        """
        try:
            value = self.function(outputs, targets)
        except Exception as error:
            if out_of_memory(error) is not None:
                raise
            raise ModelError(
                f"the loss function raised {type(error).__name__}: {error}",
                where=user_position(error) or f"loss: {self._called}",
                why=user_traceback(error),
                hint="it is called with the model's outputs and the targets of a batch",
            ) from error
        if not isinstance(value, Tensor):
            raise ModelError(
                f"the loss function returned {type(value).__name__}, expected a tensor",
                where=f"loss: {self._called}",
                hint="return one loss per sample, or their mean as a scalar tensor",
            )
        return value


BUILT_IN: Mapping[str, type[Loss]] = {
    "ce": CrossEntropy,
    "mse": MeanSquaredError,
    "bce": BinaryCrossEntropy,
    "hf": ModelLoss,
}


def choose_loss(outputs: Any, targets: Any, keys: Iterable[str] = ()) -> tuple[Loss, str]:
    """Return the loss that outputs and targets call for, and the reason.

    Args:
        outputs: Of the model.
        targets: Of the same batch; None where it has none.
        keys: Of the other parts of the batch, where it is a mapping.

    Raises:
        DataError: There are no targets, or nothing fits and the loss must be named.
    """
    if _member(outputs, "loss") is not None:
        return ModelLoss(), "the model returns its own loss"
    if targets is None:
        raise without_targets(keys)
    values = logits_of(outputs)
    if _are_binary_labels(values, targets):
        return BinaryCrossEntropy(), "one output per sample, and the targets are 0 or 1"
    if isinstance(targets, Tensor) and not targets.is_floating_point():
        return CrossEntropy(), f"the targets are integers ({targets.dtype})"
    if isinstance(targets, Tensor) and _squeezed(values.shape) == _squeezed(targets.shape):
        like = "in the shape of the outputs"
        if values.shape != targets.shape:
            like = f"one for each output: {_shape(targets)} beside {_shape(values)}"
        return MeanSquaredError(), f"the targets are real numbers, {like}"
    raise DataError(
        "no loss fits the outputs and the targets",
        where="loss: auto",
        why=f"outputs {_shape(values)}, targets {_shape(targets)}",
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


def logits_of(outputs: Any) -> Tensor:
    """Return the tensor that a loss applies to: the output, its logits, or its first part."""
    if isinstance(outputs, Tensor):
        return outputs
    if (logits := _member(outputs, "logits")) is not None:
        return logits
    if isinstance(outputs, tuple | list) and outputs and isinstance(outputs[0], Tensor):
        return outputs[0]
    raise ModelError(
        f"the model returned {type(outputs).__name__}, and no tensor could be found in it",
        where="model output",
        why="expected a tensor, something with .logits, or a tuple whose first part is a tensor",
        hint="give your own loss: --loss file.py:fn",
    )


def _member(outputs: Any, name: str) -> Any:
    if isinstance(outputs, Mapping):
        return outputs.get(name)
    return None if isinstance(outputs, Tensor) else getattr(outputs, name, None)


def class_axis(logits: Tensor, targets: Tensor) -> int:
    """Return the axis of the classes: the last for one label per token, the second otherwise."""
    tokens = targets.dim() > 1 and not targets.is_floating_point()
    return logits.dim() - 1 if tokens and logits.shape[:-1] == targets.shape else 1


def classes_second(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return logits with classes on dimension 1 and their targets; tokens are put in one row."""
    if targets.dim() > 1 and not targets.is_floating_point() and logits.shape[:-1] == targets.shape:
        return logits.flatten(0, -2), targets.flatten()
    return logits, targets.to(logits.dtype) if targets.is_floating_point() else targets.long()


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


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)


def _shape(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{'×'.join(map(str, value.shape)) or 'scalar'} {value.dtype}"
    return type(value).__name__


def _mismatch(loss: str, outputs: Tensor, targets: Tensor) -> DataError:
    return DataError(
        f"outputs and targets do not fit the loss {loss}",
        where="data: targets",
        why=f"outputs {_shape(outputs)}, targets {_shape(targets)}",
        hint="choose another loss (--loss ce|mse|bce|hf|file.py:fn) or fix the data",
    )
