"""Hooks that stay with the network they were put on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


class Hook:
    """A hook that copies and pickles of a module do not take along: in them it does nothing.

    A loop that copies its network on the way, for an average of the weights or a checkpoint of the
    whole module, would else copy the recorder with it.

    Args:
        function: What is called in its place.
    """

    def __init__(self, function: Callable[..., None]) -> None:
        self._function = function

    def __call__(self, *args: Any) -> None:
        """Call the function; a hook that returns nothing changes nothing."""
        self._function(*args)

    def __reduce__(self) -> tuple[Any, ...]:
        return Hook, (nothing,)


def traced() -> bool:
    """Return whether tensors are stand-ins: in a compiled graph, or a transform of `torch.func`."""
    if torch.compiler.is_compiling():
        return True
    return torch._C._functorch.peek_interpreter_stack() is not None  # pyright: ignore


def graph_pass() -> int:
    """Return the number of the backward pass that is under way, other in every one."""
    return torch._C._current_graph_task_id()


def nothing(*args: Any) -> None:
    """Do nothing."""
    del args
