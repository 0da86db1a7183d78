"""What an autograd graph tells: its precision, and what would be dropped in silence.

`torch.autograd.grad` with named inputs visits only what leads to them. The backward of a function
marked `once_differentiable` leads nowhere, so its share of a second derivative is left out, and
the error that it holds in store is never raised.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd import function


def refuse_once_differentiable(value: Tensor) -> None:
    """Refuse a value whose graph holds a function that can be differentiated only once.

    Raises:
        NotImplementedError: There is one; it is named.
    """
    for node in _nodes(value):
        owner = getattr(node, "_forward_cls", None)
        if owner is not None and _once(owner.backward):
            raise NotImplementedError(f"{owner.__name__} can be differentiated only once")


def narrowest(value: Tensor) -> torch.dtype:
    """Return the least precise type between what is differentiated and a value.

    A network may compute in another precision than that of its weights, as a norm in float32 does.
    """
    types = {value.dtype}
    for node in _nodes(value):
        types |= {one.dtype for one in node._input_metadata}
    return max((one for one in types if one.is_floating_point), key=lambda t: torch.finfo(t).eps)


def _nodes(value: Tensor) -> Iterator[Any]:
    """Yield every node of a value's graph once."""
    seen: set[Any] = set()
    waiting: list[Any] = [value.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        waiting += [following for following, _ in node.next_functions]


def _once(backward: Any) -> bool:
    code = getattr(backward, "__code__", None)
    wrapped = function.once_differentiable(lambda ctx: ctx)
    return code is not None and code is wrapped.__code__
