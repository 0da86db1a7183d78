"""Operations whose second derivative autograd would drop in silence.

`torch.autograd.grad` with named inputs visits only what leads to them. The backward of a function
marked `once_differentiable` leads nowhere, so its share of a second derivative is left out, and
the error that it holds in store is never raised.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.autograd import function


def refuse_once_differentiable(value: Tensor) -> None:
    """Refuse a value whose graph holds a function that can be differentiated only once.

    Raises:
        NotImplementedError: There is one; it is named.
    """
    seen: set[Any] = set()
    waiting = [value.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        owner = getattr(node, "_forward_cls", None)
        if owner is not None and _once(owner.backward):
            raise NotImplementedError(f"{owner.__name__} can be differentiated only once")
        waiting += [following for following, _ in node.next_functions]


def _once(backward: Any) -> bool:
    code = getattr(backward, "__code__", None)
    wrapped = function.once_differentiable(lambda ctx: ctx)
    return code is not None and code is wrapped.__code__
