"""A forward pass that leaves the modules as they were: buffers, attributes, and what these hold."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from torch import Tensor, nn

_OWN = frozenset(vars(nn.Module()))  # what every module has: parameters, children, hooks


@contextmanager
def kept(model: nn.Module) -> Iterator[None]:
    """Let copies of buffers and of what attributes hold take what a block writes.

    Lists, mappings, sets, arrays and tensors are copied, whatever they are nested in; objects of
    other classes are taken as unchanging. To be called where no graph is kept.
    """
    values = [(one, one.clone()) for one in model.buffers()]
    before = [
        (one, dict(vars(one)), dict(one._buffers), dict(one._modules)) for one in model.modules()
    ]
    same: dict[int, Any] = {id(one): one for one in (*model.parameters(), *model.buffers())}
    try:
        for module, attributes, _, _ in before:
            for name, value in attributes.items():
                if name not in _OWN:
                    vars(module)[name] = _copied(value, same)
        yield
    finally:
        for module, attributes, buffers, children in before:
            vars(module).clear()
            vars(module).update(attributes)
            _put_back(module._buffers, buffers)
            _put_back(module._modules, children)
        for one, value in values:
            one.copy_(value)


def _put_back(held: dict[str, Any], earlier: dict[str, Any]) -> None:
    held.clear()
    held.update(earlier)


def _copied(value: Any, same: dict[int, Any]) -> Any:
    """Return a copy of containers and numbers; what is held in two places is copied once."""
    if id(value) in same:
        return same[id(value)]
    if isinstance(value, Tensor):
        same[id(value)] = value.clone()
    elif isinstance(value, dict):
        mapping = same[id(value)] = copy.copy(value)
        mapping.update({key: _copied(one, same) for key, one in value.items()})
    elif isinstance(value, list | deque):
        row = same[id(value)] = copy.copy(value)
        for place, one in enumerate(value):
            row[place] = _copied(one, same)
    elif isinstance(value, set | bytearray | np.ndarray):
        same[id(value)] = copy.copy(value)
    elif isinstance(value, tuple) and type(value) is tuple:
        return tuple(_copied(one, same) for one in value)
    return same.get(id(value), value)
