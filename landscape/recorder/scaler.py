"""What a gradient scaler of mixed precision does: its scale, and the steps that it skips."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.optim import Optimizer


class _Shadow:
    """What stands for a scaler's `step` on the instance.

    Args:
        scaler: That it stands on.
        watch: Called with the method it covers, and with what that is called with.
    """

    def __init__(self, scaler: Any, watch: Callable[..., Any]) -> None:
        self.previous = vars(scaler).get("step")  # on the instance; None: the method of the class
        self.live = True
        self._covered = scaler.step
        self._watch = watch

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Step, watched or, once it is dead, as if it were not there."""
        if self.live:
            return self._watch(self._covered, *args, **kwargs)
        return self._covered(*args, **kwargs)

    def __deepcopy__(self, memo: Any) -> _Shadow:
        """Stay one: what it watches is not to be copied with a scaler."""
        return self


class Scaler:
    """A gradient scaler, watched for the steps that it does not let the optimizer take.

    Its `step` is shadowed on the instance while it is watched, and is as before afterwards; where
    another shadow lies above, as soon as that is gone.

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
        self._shadow: _Shadow | None = None

    @property
    def scale(self) -> Tensor | None:
        """Return the scale, on its device; None before the first loss was scaled."""
        return getattr(self._scaler, "_scale", None) if self._scaler.is_enabled() else None

    def start(self) -> None:
        """Shadow `step`."""
        self._shadow = _Shadow(self._scaler, self._step)
        self._scaler.step = self._shadow

    def stop(self) -> None:
        """Bring back what was covered."""
        if self._shadow is not None:
            self._shadow.live = False
        while isinstance(top := vars(self._scaler).get("step"), _Shadow) and not top.live:
            if top.previous is None:
                del self._scaler.step
            else:
                self._scaler.step = top.previous

    def _step(self, covered: Callable[..., Any], optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        before = self._taken()
        result = covered(optimizer, *args, **kwargs)
        inner = getattr(optimizer, "optimizer", optimizer)
        if self._optimizer in (optimizer, inner) and self._taken() == before:
            self._skipped()
        return result
