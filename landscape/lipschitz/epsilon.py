"""RMSNorm without an ε of its own: the same function in every precision."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode


class OwnEpsilon(TorchFunctionMode):
    """Normalises by root mean squares with the ε of one type, whatever type a call computes in.

    Without an ε, PyTorch takes that of the input's type: in float64 a network of float32 would be
    another function, steeper near 0 by a factor of twenty thousand.

    Args:
        dtype: Of the network.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self._epsilon = torch.finfo(dtype).eps

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call a function of PyTorch."""
        del types
        named = dict(kwargs or {})
        if func in (functional.rms_norm, torch.rms_norm):
            given = dict(zip(("input", "normalized_shape", "weight", "eps"), args, strict=False))
            named = {**given, **named}
            if named.get("eps") is None:
                named["eps"] = self._epsilon
            return func(**named)
        return func(*args, **named)
