"""The recorder as a callback of the Hugging Face Trainer: `callbacks=[recorder_callback(...)]`.

Needs `transformers` (the extra `landscape[transformers]`), imported when asked.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from landscape.errors import ModelError
from landscape.recorder.recorder import Recorder


def recorder_callback(**settings: Any) -> Any:
    """Return a callback that records the steps of a Trainer.

    The loss is the one that the network returns itself, where labels are given to it; the scaler
    is that of the accelerated optimizer. The recorder itself is the callback's `recorder` once
    training has begun.

    Args:
        settings: Of `Recorder`.

    Raises:
        ModelError: transformers is not installed.
    """
    base = _base()

    class RecorderCallback(base):
        """Attaches a recorder for the length of `train`."""

        recorder: Recorder | None = None

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            """Attach, once the optimizer is there."""
            given = {"step": state.global_step, **settings}
            self.recorder = Recorder(kwargs["model"], kwargs["optimizer"], **given).attach()

        def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            """Detach."""
            if self.recorder is not None:
                self.recorder.detach()

    return RecorderCallback()


def _base() -> type[Any]:
    try:
        return import_module("transformers").TrainerCallback
    except ModuleNotFoundError as error:
        raise ModelError(
            "transformers is not installed",
            where="landscape.recorder.transformers",
            why="the callback is a class of transformers",
            hint="pip install 'landscape[transformers]'",
        ) from error
