"""The recorder as a callback of Lightning: `Trainer(callbacks=[recorder_callback(log=...)])`.

Needs `lightning` or `pytorch_lightning` (the extra `landscape[lightning]`), imported when asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from torch import Tensor

from landscape.errors import ModelError
from landscape.recorder.recorder import Recorder


def recorder_callback(**settings: Any) -> Any:
    """Return a Lightning callback that records the training of a module with one optimizer.

    The loss is what `training_step` returns; the scaler is that of the precision plugin. The
    recorder itself is the callback's `recorder` once training has begun.

    Args:
        settings: Of `Recorder`.

    Raises:
        ModelError: Lightning is not installed.
    """
    base = _base()

    class RecorderCallback(base):
        """Attaches a recorder for the length of `fit`."""

        recorder: Recorder | None = None

        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            """Attach, once optimizers and wrappers are in place."""
            if len(trainer.optimizers) != 1:
                raise ModelError(
                    f"the module has {len(trainer.optimizers)} optimizers",
                    where=type(pl_module).__name__,
                    why="which of them a backward pass belongs to cannot be seen",
                    hint="use Recorder itself, one for each optimizer",
                )
            scaler = getattr(trainer.strategy.precision_plugin, "scaler", None)
            given = {"scaler": scaler, "step": trainer.global_step, **settings}
            model = trainer.strategy.model or pl_module
            self.recorder = Recorder(model, trainer.optimizers[0], **given).attach()

        def on_before_backward(self, trainer: Any, pl_module: Any, loss: Tensor) -> None:
            """Record the loss; Lightning divides it by the number of micro-batches."""
            if self.recorder is not None:
                self.recorder.loss(loss.detach() * trainer.accumulate_grad_batches)

        def on_train_end(self, trainer: Any, pl_module: Any) -> None:
            """Detach."""
            self._end()

        def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
            """Detach, so that what was recorded is in the log."""
            self._end()

        def state_dict(self) -> Mapping[str, Any]:
            """Return nothing: the log is what lasts."""
            return {}

        def _end(self) -> None:
            if self.recorder is not None:
                self.recorder.detach()

    return RecorderCallback()


def _base() -> type[Any]:
    for name in ("lightning.pytorch", "pytorch_lightning"):
        try:
            return import_module(name).Callback
        except ModuleNotFoundError:
            continue
    raise ModelError(
        "Lightning is not installed",
        where="landscape.recorder.lightning",
        why="the callback is a class of Lightning",
        hint="pip install 'landscape[lightning]'",
    )
