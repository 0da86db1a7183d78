"""A network run in float64 throughout, also where its code asks for less."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

_LOWER = {
    torch.float32: torch.float64,
    torch.float16: torch.float64,
    torch.bfloat16: torch.float64,
    torch.complex64: torch.complex128,
    torch.complex32: torch.complex128,
}
_BITS = ("view.dtype",)  # what reads bits as other numbers


class _Doubled(TorchDispatchMode):
    """Turns every conversion to a lower precision, and every sum in one, into float64."""

    supports_higher_order_operators = True

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        del types
        if not str(func).endswith(_BITS):
            args, kwargs = pytree.tree_map_only(torch.dtype, _raised, (args, kwargs or {}))
        return func(*args, **(kwargs or {}))


def _raised(dtype: torch.dtype) -> torch.dtype:
    return _LOWER.get(dtype, dtype)


@contextmanager
def doubled() -> Iterator[None]:
    """Compute in float64 for the length of a block: weights and inputs must be in it already.

    Networks that normalise or take a softmax in float32 keep full precision so, and what they
    make without a dtype is in float64.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with _Doubled():
            yield
    finally:
        torch.set_default_dtype(before)
