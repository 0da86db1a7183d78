"""What a loss applies to: the logits among a model's outputs, their axis of classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from landscape.errors import ModelError


def logits_of(outputs: Any) -> Tensor:
    """Return the tensor that a loss applies to: the output, its logits, or its first part."""
    if isinstance(outputs, Tensor):
        return outputs
    if (logits := member(outputs, "logits")) is not None:
        return logits
    if isinstance(outputs, tuple | list) and outputs and isinstance(outputs[0], Tensor):
        return outputs[0]
    raise ModelError(
        f"the model returned {type(outputs).__name__}, and no tensor could be found in it",
        where="model output",
        why="expected a tensor, something with .logits, or a tuple whose first part is a tensor",
        hint="give your own loss: --loss file.py:fn",
    )


def member(outputs: Any, name: str) -> Any:
    """Return a part of the outputs by its name; None where there is none."""
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


def squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape without axes of length one."""
    return tuple(size for size in shape if size != 1)


def shape_of(value: Any) -> str:
    """Return shape and type of a tensor in words; of anything else its type."""
    if isinstance(value, Tensor):
        return f"{'×'.join(map(str, value.shape)) or 'scalar'} {value.dtype}"
    return type(value).__name__
