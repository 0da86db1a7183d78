"""What a gradient scaler of mixed precision does: its scale, and the steps that it skips."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.optim import Optimizer


class Scaler:
    """A gradient scaler, watched for the steps that it does not let the optimizer take.

    Its `step` is shadowed on the instance while it is watched, and is as before afterwards.

    Args:
        scaler: `torch.amp.GradScaler`, or one of its kind.
        optimizer: Whose steps count.
        taken: Returns how many steps the optimizer has taken.
        skipped: Called after a step that was skipped.
    """

    def __init__(
        self,
        scaler: Any,
        optimizer: Optimizer,
        taken: Callable[[], int],
        skipped: Callable[[], None],
    ) -> None:
        self._scaler = scaler
        self._optimizer = optimizer
        self._taken = taken
        self._skipped = skipped

    @property
    def scale(self) -> Tensor | None:
        """Return the scale, on its device; None before the first loss was scaled."""
        return getattr(self._scaler, "_scale", None) if self._scaler.is_enabled() else None

    def start(self) -> None:
        """Shadow `step`."""
        original = self._scaler.step

        def step(optimizer: Any, *args: Any, **kwargs: Any) -> Any:
            before = self._taken()
            result = original(optimizer, *args, **kwargs)
            inner = getattr(optimizer, "optimizer", optimizer)
            if self._optimizer in (optimizer, inner) and self._taken() == before:
                self._skipped()
            return result

        self._scaler.step = step

    def stop(self) -> None:
        """Bring the scaler's own `step` back."""
        self._scaler.__dict__.pop("step", None)
