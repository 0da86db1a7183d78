"""Rules of maxima and norms over groups of entries."""

from __future__ import annotations

import math
from typing import Any

from landscape.lipschitz.call import Call
from landscape.lipschitz.expression import Leaf
from landscape.lipschitz.value import NoRuleError, Value
from landscape.lipschitz.walk import Walk, rule

_MAX = "max_pool1d max_pool2d max_pool3d"
_INDEXED = "max_pool2d_with_indices max_pool3d_with_indices max_pool1d_with_indices"


@rule(*_MAX.split())
def max_pool(walk: Walk, call: Call) -> Value:
    """√(windows that share an entry): all of them may follow it."""
    return _pooled(walk, call, call.shape)


@rule(*_INDEXED.split())
def max_pool_with_indices(walk: Walk, call: Call) -> list[Any]:
    """The same; indices are not differentiable, and are not to be used."""
    return [_pooled(walk, call, call.shape[0]), None]


def _pooled(walk: Walk, call: Call, shape: tuple[int, ...]) -> Value:
    value = call["self"]
    rank = int(next(c for c in call.name if c.isdigit()))
    kernel = _each(call["kernel_size"], rank)
    stride = _each(call["stride"] or kernel, rank)
    padding, dilation = _each(call["padding"], rank), _each(call["dilation"], rank)
    shared = 1
    axes = zip(value.shape[-rank:], shape[-rank:], kernel, stride, padding, dilation, strict=True)
    for n, m, k, s, p, d in axes:
        windows = [0] * n
        for i in range(m):
            for t in range(k):
                if 0 <= (place := i * s - p + t * d) < n:
                    windows[place] += 1
        shared *= max(windows)
    return _largest(walk, call, value, shape, math.sqrt(shared))


@rule("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d")
def adaptive_max_pool(walk: Walk, call: Call) -> list[Any]:
    """√(windows that share an entry)."""
    value, shape = call["self"], call.shape[0]
    rank = int(next(c for c in call.name if c.isdigit()))
    shared = 1
    for n, m in zip(value.shape[-rank:], shape[-rank:], strict=True):
        windows = [0] * n
        for i in range(m):
            for place in range(i * n // m, -(-(i + 1) * n // m)):
                windows[place] += 1
        shared *= max(windows)
    return [_largest(walk, call, value, shape, math.sqrt(shared)), None]


def _largest(walk: Walk, call: Call, value: Value, shape: tuple[int, ...], factor: float) -> Value:
    atom = walk.atom(call, shape, factor, value.expression)
    atom.pooled = True
    return Value(Leaf(atom), peak=value.peak)


def _each(numbers: Any, rank: int) -> tuple[int, ...]:
    many = tuple(numbers) if isinstance(numbers, tuple | list) else (numbers,)
    return many * rank if len(many) == 1 else many


@rule("amax", "amin", "logsumexp", "linalg_vector_norm", "norm", "max", "min")
def one_of_many(walk: Walk, call: Call) -> Any:
    """1: each result follows its own group of entries, no faster than the group."""
    value = call["self"]
    orders = [one for one in (call["ord"], call["p"]) if one is not None]
    if call.name in ("linalg_vector_norm", "norm") and orders and float(orders[0]) < 2:
        raise NoRuleError("a norm that is steeper than the Euclidean one")
    if not isinstance(value, Value) or call["other"] is not None:
        raise NoRuleError
    several = isinstance(call.shape, list)
    shape = call.shape[0] if several else call.shape
    found = Value(Leaf(walk.atom(call, shape, 1.0, value.expression)))
    return [found, None] if several else found
