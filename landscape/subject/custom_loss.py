"""A loss that is a user's function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from landscape.errors import ModelError, out_of_memory
from landscape.subject.identity import function_digest
from landscape.subject.losses import IGNORED, Loss
from landscape.subject.outputs import logits_of
from landscape.subject.traces import user_position, user_traceback


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
                why="only a tensor knows its derivatives",
                hint="return one loss per sample, or their mean as a scalar tensor",
            )
        return value
