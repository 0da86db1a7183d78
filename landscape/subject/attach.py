"""What the user gives (objects or spec strings) becomes what a subject holds."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn

from landscape.errors import ModelError, SettingError, SpecError, about
from landscape.subject.custom_loss import CustomLoss
from landscape.subject.files.checkpoint import Checkpoint
from landscape.subject.losses import BUILT_IN, Loss
from landscape.subject.spec.attribute import load_attribute
from landscape.subject.spec.data import DataSource, load_data
from landscape.subject.spec.grammar import parse_spec
from landscape.subject.spec.models import load_model

HELD_OUT = "held-out data"
READING = ("state_key", "ema", "trust_pickle")
SUBJECT = (
    "checkpoints",
    "data",
    "loss",
    "params",
    "device",
    "dtype",
    "learning_rate",
    "product",
    "batch_size",
    "mode",
    "allow_download",
)


def attach_model(model: nn.Module | str, *, allow_download: bool = False) -> tuple[nn.Module, str]:
    """Return a module and what to call it in a report."""
    if isinstance(model, str):
        return load_model(model, allow_download=allow_download), model
    if isinstance(model, nn.Module):
        return model, type(model).__name__
    raise ModelError(
        f"model must be a torch.nn.Module or a spec string, got {type(model).__name__}",
        where="Subject.model",
        why="parameters, buffers and mode are those of a module",
        hint="give the module itself, or a string such as 'nets.py:cnn'",
    )


def attach_data(data: object, *, allow_download: bool = False) -> DataSource | None:
    """Return where the data come from; None when there are none."""
    if data is None or isinstance(data, DataSource):
        return data
    if isinstance(data, str):
        return load_data(data, allow_download=allow_download)
    parts = data if isinstance(data, Mapping) and "train" in data else {"train": data}
    train = parts["train"]
    known = (
        load_data(train, allow_download=allow_download)
        if isinstance(train, str)
        else DataSource(source=train, description=type(train).__name__, text="")
    )
    held_out = attach_held_out(parts.get("held_out"), allow_download=allow_download)
    return known if held_out is None else replace(known, held_out=held_out)


def attach_held_out(held_out: object, *, allow_download: bool = False) -> object:
    """Return the held-out data, loaded where a spec string names them."""
    if not isinstance(held_out, str):
        return held_out
    with about(HELD_OUT):
        return load_data(held_out, allow_download=allow_download).source


def attach_loss(loss: Loss | str | Callable[[Any, Any], Tensor]) -> Loss | None:
    """Return the loss; None for `auto`, which the first batch decides."""
    if isinstance(loss, Loss) or loss == "auto":
        return loss if isinstance(loss, Loss) else None
    if isinstance(loss, str) and loss in BUILT_IN:
        return BUILT_IN[loss]()
    function = _named(loss) if isinstance(loss, str) else loss
    if not callable(function):
        raise ModelError(
            f"the loss is a {type(function).__name__}, expected a function of outputs and targets",
            where="--loss",
            why="it is called with what the network returns and what the data hold",
            hint="one of auto, ce, mse, bce, hf, or file.py:fn",
        )
    return CustomLoss(function)


def _named(loss: str) -> object:
    if ":" not in loss:
        near = difflib.get_close_matches(loss.lower(), ["auto", *BUILT_IN], n=1)
        raise SpecError(
            f"there is no loss {loss!r}",
            where="--loss",
            why=f"losses are auto, {', '.join(BUILT_IN)}, or file.py:fn for one of your own",
            hint=f"did you mean {near[0]}?" if near else "cross-entropy is ce, squared error mse",
        )
    return load_attribute(parse_spec(loss, schemes=(), what="loss"), error=ModelError)


def attach_checkpoints(
    checkpoints: Checkpoint | str | Path | Sequence[Checkpoint | str | Path],
    reading: Mapping[str, Any],
) -> tuple[Checkpoint, ...]:
    """Return checkpoints, read from their files where paths are given.

    Raises:
        SettingError: An argument is not known.
    """
    for key in reading:
        if key not in READING:
            known = (*SUBJECT, *READING)
            near = difflib.get_close_matches(key, known, n=1)
            raise SettingError(
                f"Subject has no argument {key!r}",
                where="Subject",
                why=f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(known)}",
                hint="see help(landscape.Subject)",
            )
    one = isinstance(checkpoints, Checkpoint | str | Path)
    given = (checkpoints,) if one else checkpoints
    return tuple(
        item if isinstance(item, Checkpoint) else Checkpoint.read(item, **reading)
        for item in cast("Sequence[Checkpoint | str | Path]", given)
    )


def check_learning_rate(learning_rate: float | None) -> float | None:
    """Return a learning rate that can be one; None: that of the checkpoint.

    Raises:
        SettingError: It is not above 0, or not finite.
    """
    if learning_rate is not None and not 0 < learning_rate < math.inf:
        raise SettingError(
            f"a learning rate must be above 0 and finite, got {learning_rate}",
            where="Subject.learning_rate",
            why="training divides and multiplies by it",
            hint="leave it out to take that of the checkpoint, where it holds one",
        )
    return learning_rate
