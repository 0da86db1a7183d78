"""One batch: what the model is called with, and what its outputs are compared to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from landscape.errors import DataError

TARGET_KEYS = ("labels", "label", "targets", "target")


@dataclass(frozen=True)
class Batch:
    """One call of the model: positional and named inputs, and the targets."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    targets: Any
    target_key: str | None = None  # the key that the targets had in a mapping

    @property
    def samples(self) -> int:
        """Return the length of the first axis of the first tensor."""
        return next((len(t) for t in self.tensors() if t.dim()), 0)

    @property
    def described(self) -> str:
        """Return dtypes and shapes in words."""
        return ", ".join(_structure(tensor) for tensor in self.tensors())

    def tensors(self) -> Iterator[Tensor]:
        """Yield every tensor, inputs first."""
        for _, tensor in self.named_tensors():
            yield tensor

    def named_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yield every tensor with its place in the batch."""
        parts = {"args": self.args, "kwargs": self.kwargs, "targets": self.targets}
        return _tensors("", parts)

    def to(self, device: torch.device, dtype: torch.dtype) -> Batch:
        """Return the batch on a device, its floating inputs in the model's precision."""

        def move(tensor: Tensor) -> Tensor:
            return tensor.to(device, dtype if tensor.is_floating_point() else None)

        return self.mapped(move)

    def head(self, samples: int) -> Batch:
        """Return the first samples of the batch."""
        whole = self.samples
        return self.mapped(lambda t: t[:samples] if t.dim() and len(t) == whole else t)

    def spread(self, samples: int) -> Batch:
        """Return samples evenly spaced over the batch, at most so many."""
        whole = self.samples
        rows = torch.linspace(0, whole - 1, min(samples, whole)).round().long()
        return self.mapped(lambda t: t[rows.to(t.device)] if t.dim() and len(t) == whole else t)

    def mapped(self, function: Callable[[Tensor], Tensor]) -> Batch:
        """Return the batch with a function applied to every tensor."""
        parts = _map((self.args, dict(self.kwargs), self.targets), function)
        return Batch(*parts, target_key=self.target_key)


def as_batch(item: Any, number: int) -> Batch:
    """Return what a data source yielded as a batch.

    Args:
        item: (inputs, targets), or a mapping in which `labels` are the targets.
        number: Which batch it is, for the error.

    Raises:
        DataError: The structure is not understood.
    """
    if isinstance(item, Mapping):
        named = dict(item)
        key = next((key for key in TARGET_KEYS if key in named), None)
        targets = named.pop(key) if key is not None else None
        batch = Batch((), named, targets, key)
    elif isinstance(item, tuple | list) and len(item) == 2:
        batch = Batch((item[0],), {}, item[1])
    else:
        raise DataError(
            f"batch {number} is not understood: {_structure(item)}",
            where="data",
            why="expected (inputs, targets), or a mapping with labels",
            hint="wrap the loader so that it yields one of these",
        )
    if next(batch.tensors(), None) is None:
        raise DataError(
            f"batch {number} holds no tensors: {_structure(item)}",
            where="data",
            why="a network is called with tensors",
            hint="tokenise or convert the samples in the data set or its collate function",
        )
    return batch


def _structure(item: Any) -> str:
    if isinstance(item, Tensor):
        return f"{str(item.dtype).removeprefix('torch.')} {'×'.join(map(str, item.shape))}"
    if isinstance(item, Mapping):
        return "{" + ", ".join(f"{key}: {_structure(item[key])}" for key in item) + "}"
    if isinstance(item, tuple | list):
        return f"{type(item).__name__} of {len(item)}: ({', '.join(map(_structure, item[:6]))})"
    return type(item).__name__


def _tensors(path: str, item: Any) -> Iterator[tuple[str, Tensor]]:
    if isinstance(item, Tensor):
        yield path, item
    elif isinstance(item, Mapping):
        for key, part in item.items():
            yield from _tensors(f"{path}.{key}", part)
    elif isinstance(item, tuple | list):
        for number, part in enumerate(item):
            yield from _tensors(f"{path}.{number}", part)


def _map(item: Any, function: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(item, Tensor):
        return function(item)
    if isinstance(item, Mapping):
        return {key: _map(part, function) for key, part in item.items()}
    if isinstance(item, tuple | list):
        return tuple(_map(part, function) for part in item)
    return item
