"""Activation functions as they are called, as modules or plain functions, with their slopes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

Place = tuple[int, int]  # where a tensor lies in memory, and its length


def place_of(tensor: Tensor) -> Place:
    """Return what tells whether two tensors are views of all of the same numbers."""
    return tensor.data_ptr(), tensor.numel()


@dataclass(frozen=True)
class Applied:
    """One application of an activation function φ.

    Args:
        name: Of φ.
        source: Where its input lies.
        before: The input, as it was.
        after: The output, detached.
        slope: φ′ at every element of the input.
        output: The output, as it goes on.
    """

    name: str
    source: Place
    before: Tensor
    after: Tensor
    slope: Tensor
    output: Tensor


See = Callable[[Applied], None]

# by every name that they go by; those that write into their input are computed without that
_KNOWN: dict[str, Callable[..., Tensor]] = {
    "relu": F.relu,
    "relu6": F.relu6,
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "selu": F.selu,
    "celu": F.celu,
    "gelu": F.gelu,
    "silu": F.silu,
    "mish": F.mish,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softplus": F.softplus,
    "softsign": F.softsign,
    "hardtanh": F.hardtanh,
    "hardswish": F.hardswish,
    "hardsigmoid": F.hardsigmoid,
    "logsigmoid": F.logsigmoid,
    "prelu": F.prelu,
    "tanhshrink": F.tanhshrink,
}


def _spellings() -> dict[Any, str]:
    found: dict[Any, str] = {}
    for name in _KNOWN:
        for place in (F, torch, Tensor):
            for spelling in (name, f"{name}_"):
                function = getattr(place, spelling, None)
                if callable(function):
                    found[function] = name
    return found


_SPELLINGS = _spellings()


class SeeingSlopes(TorchFunctionMode):
    """Shows every elementwise activation function that is applied inside a block.

    Args:
        see: Called with each application.
    """

    def __init__(self, see: See) -> None:
        super().__init__()
        self._see = see

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run a function of PyTorch, and show it where it is an activation function."""
        del types
        kwargs = kwargs or {}
        name = _SPELLINGS.get(func)
        if name is None or not args or not isinstance(args[0], Tensor):
            return func(*args, **kwargs)
        source, before = place_of(args[0]), args[0].detach().clone()
        after = func(*args, **kwargs)
        if isinstance(after, Tensor) and after.shape == before.shape:
            further = {key: value for key, value in kwargs.items() if key != "inplace"}
            slope = _slope(_KNOWN[name], before, args[1:], further)
            self._see(Applied(name, source, before, after.detach(), slope, after))
        return after


def _slope(
    function: Callable[..., Tensor], before: Tensor, more: tuple[Any, ...], named: dict[str, Any]
) -> Tensor:
    """Return φ′ at every element."""
    with torch.enable_grad():
        place = before.requires_grad_()
        value = function(place, *more, **named)
        (slope,) = torch.autograd.grad(value.sum(), place)
    place.requires_grad_(False)
    return slope.detach()
