"""What stands in for the objects of a pickle that is read without being run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class StorageStub:
    """The bytes that tensors share: a member of a zip, or a run at the end of a legacy file."""

    key: str
    dtype: str
    bytes: int


@dataclass(frozen=True, kw_only=True)
class TensorStub:
    """A tensor whose numbers were not read."""

    dtype: str  # torch's name: "float32"
    shape: tuple[int, ...]
    storage_key: str = ""
    storage_bytes: int = 0
    offset: int = 0
    stride: tuple[int, ...] = ()

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    @property
    def numel(self) -> int:
        """The number of entries."""
        return math.prod(self.shape)


@dataclass(eq=False, kw_only=True)
class Stub:
    """A global, or (`called`) what a call of it would have made."""

    name: str
    called: bool = False
    arguments: tuple[Any, ...] = field(default=(), repr=False)  # may hold themselves
    state: Any = field(default=None, repr=False)

    def state_dict(self) -> dict[str, TensorStub]:
        """Return the parameters and buffers of a pickled module, named as torch names them."""
        found: dict[str, TensorStub] = {}
        pending: list[tuple[str, Stub]] = [("", self)]
        seen: set[int] = set()
        while pending:
            prefix, module = pending.pop()
            if id(module) in seen or not isinstance(module.state, Mapping):
                continue
            seen.add(id(module))
            for group in ("_parameters", "_buffers"):
                found |= {
                    prefix + name: value
                    for name, value in _entries(module.state, group)
                    if isinstance(value, TensorStub)
                }
            pending += [
                (f"{prefix}{name}.", child)
                for name, child in _entries(module.state, "_modules")
                if isinstance(child, Stub)
            ]
        return found

    @property
    def is_module(self) -> bool:
        """Whether this has the state of a `torch.nn.Module`."""
        return isinstance(self.state, Mapping) and isinstance(
            self.state.get("_parameters"), Mapping
        )


def _entries(state: Mapping[Any, Any], group: str) -> Iterator[tuple[Any, Any]]:
    entries = state.get(group)
    return iter(entries.items() if isinstance(entries, Mapping) else ())


def walk(tree: Any) -> Iterator[tuple[str, TensorStub]]:
    """Yield each tensor of a tree with its dotted path; an object met twice is entered once."""
    pending: list[tuple[str, Any]] = [("", tree)]
    entered: set[int] = set()
    while pending:
        path, value = pending.pop()
        if isinstance(value, TensorStub):
            yield path, value
        elif isinstance(value, dict | list | tuple | Stub) and id(value) not in entered:
            entered.add(id(value))
            prefix = f"{path}." if path else ""
            pending += [(f"{prefix}{key}", child) for key, child in _children(value)]


def _children(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, dict):
        return value.items()
    if isinstance(value, Stub):
        return value.state_dict().items() if value.is_module else [("", value.state)]
    return enumerate(value)
