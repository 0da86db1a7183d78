"""Rules of operations that move, repeat, join and average entries."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from landscape.lipschitz.call import Call, run
from landscape.lipschitz.expression import Joined, applied
from landscape.lipschitz.pieces import Nonnegative
from landscape.lipschitz.value import NoRuleError, Value
from landscape.lipschitz.walk import Walk, rule

_MOVED = """
    view reshape _unsafe_view flatten unflatten unsqueeze squeeze _reshape_alias permute transpose t
    swapaxes movedim numpy_T mT expand expand_as view_as reshape_as broadcast_to repeat tile
    repeat_interleave roll flip slice narrow select index index_select gather pixel_shuffle
    pixel_unshuffle diagonal unfold ravel tril triu channel_shuffle
"""
_AVERAGED = "mean sum cumsum"
_PARTS = "chunk split split_with_sizes tensor_split unsafe_split unsafe_chunk unbind"
_PADS = """
    pad constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d
    replication_pad2d replication_pad3d
"""


def _source(call: Call) -> tuple[str, Value]:
    key = "self" if call["self"] is not None else "input"
    if not isinstance(call[key], Value) or len(call.varying) != 1:
        raise NoRuleError("where it reads depends on the input")
    return key, call[key]


@rule(*_MOVED.split())
def move(walk: Walk, call: Call) -> Value:
    """√(how often the most repeated entry appears)."""
    key, value = _source(call)
    if call["dtype"] is not None:
        raise NoRuleError("it reads the bytes of another type")
    found = walk.moved(call, value, key)
    found.peak = value.peak
    return found


@rule(*_AVERAGED.split())
def average(walk: Walk, call: Call) -> Value:
    """1/√k for means of k entries, √k for sums."""
    key, value = _source(call)
    return walk.moved(call, value, key, moves=False)


@rule(*_PARTS.split())
def parts(walk: Walk, call: Call) -> list[Value]:
    """Pieces of a value."""
    key, value = _source(call)
    return [_part(walk, call, key, value, place) for place in range(len(call.shape))]


def _part(walk: Walk, call: Call, key: str, value: Value, place: int) -> Value:
    found = walk.moved(call, value, key, part=place)
    found.peak = value.peak
    return found


@rule(*_PADS.split())
def pad(walk: Walk, call: Call) -> Value:
    """Zeros, or entries repeated."""
    key, value = _source(call)
    amounts = call["pad"] if call["pad"] is not None else call["padding"]
    filled: dict[str, Any] = {"value": 0.0} if "value" in call.arguments else {}

    def action(x: Tensor) -> Tensor:
        return run(call, {key: x, **filled})

    space = len(value.shape) - 2
    whole = call["mode"] == "circular" and len(amounts) == 2 * space
    wraps = tuple(amounts[2 * (space - 1 - i)] for i in range(space)) if whole else None
    piece = Nonnegative(action, value.shape, call.shape, walk.device, moves=True, wraps=wraps)
    return walk.linear(call, piece, value)


@rule("cat", "concat", "concatenate")
def cat(walk: Walk, call: Call) -> Value:
    """√(Σ Lip²)."""
    del walk
    tensors = call["tensors"]
    axis = (call["dim"] or 0) % len(call.shape)
    shapes = [one.expression if isinstance(one, Value) else tuple(one.shape) for one in tensors]
    kept = tuple(one for one in shapes if not (isinstance(one, tuple) and one == (0,)))
    last = axis == len(call.shape) - 1
    factors = None if last else tuple(1.0 for _ in call.varying)
    found = Value(Joined(kept, axis, call.shape))
    found.row_factors = factors if len(call.varying) == 1 else None
    return found


@rule("stack")
def stack(walk: Walk, call: Call) -> Value:
    """√(Σ Lip²)."""
    axis = (call["dim"] or 0) % len(call.shape)
    shape = (*call.shape[:axis], 1, *call.shape[axis + 1 :])
    kept = []
    for one in call["tensors"]:
        if isinstance(one, Value):
            piece = Nonnegative(
                lambda x: x.reshape(shape), one.shape, shape, walk.device, moves=True
            )
            kept.append(applied(piece, one.expression))
        else:
            kept.append(shape)
    return Value(Joined(tuple(kept), axis, call.shape))


_RESIZED = """
    avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
    _adaptive_avg_pool2d _adaptive_avg_pool3d upsample_nearest1d upsample_nearest2d
    upsample_nearest3d upsample_linear1d upsample_bilinear2d upsample_trilinear3d im2col
"""


@rule(*_RESIZED.split())
def resize(walk: Walk, call: Call) -> Value:
    """The norm of the averages, overlaps included."""
    key, value = _source(call)
    return walk.moved(call, value, key, moves=False)
