"""What makes two networks or functions the same question, as far as a program can tell."""

from __future__ import annotations

import hashlib
import inspect
import secrets
from collections.abc import Callable
from typing import Any

from torch import nn


def network_digest(model: nn.Module) -> str:
    """Return a digest of a network's code and settings; its weights do not enter.

    It covers what `repr` prints, the plain attributes of every module, and the source of every
    class that is not PyTorch's own. Code without a source never equals anything.
    """
    parts = [repr(model)]
    for name, module in model.named_modules():
        plain = {k: v for k, v in vars(module).items() if k != "training" and _is_plain(v)}
        parts.append(f"{name} {type(module).__module__}.{type(module).__qualname__} {plain}")
    classes = {type(module) for module in model.modules()}
    parts += sorted(_source(one) for one in classes if not one.__module__.startswith("torch."))
    parts += sorted(_source(f) for module in model.modules() for f in _functions_of(module))
    return _digest(parts)


def function_digest(function: Callable[..., Any]) -> str:
    """Return a digest of a function's code; a closure never equals anything."""
    if getattr(function, "__closure__", None):
        return secrets.token_hex(8)
    return _digest([getattr(function, "__qualname__", ""), _source(function)])


def _functions_of(module: nn.Module) -> list[Any]:
    return [value for value in vars(module).values() if inspect.isfunction(value)]


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def _source(code: Any) -> str:
    try:
        return inspect.getsource(code)
    except (OSError, TypeError):
        return secrets.token_hex(8)


def _digest(parts: list[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
