"""Rules of operations that normalise.

A normalisation over d entries is g(y) = y / √(‖y‖²/d + ε) of the centred y = C x, then a scale.
Its Jacobian is 1/√(v + ε) across y and ε/(v + ε)^{3/2} along it: the constant is 1/√ε where entries
may be equal, and 1/√(v + ε) where their variance is known to be at least v.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from landscape.lipschitz.call import Call
from landscape.lipschitz.expression import Leaf, applied
from landscape.lipschitz.pieces import Matrix, Piece, Scale
from landscape.lipschitz.value import Layer, NoRuleError, Rows, Value
from landscape.lipschitz.walk import Walk, rule


@rule("batch_norm")
def batch_norm(walk: Walk, call: Call) -> Value:
    """Max |γ| / √(σ² + ε), with the running statistics."""
    return _by_statistics(walk, call)


@rule("_native_batch_norm_legit_no_training", "native_batch_norm", "_batch_norm_impl_index")
@rule("cudnn_batch_norm")
def native_batch_norm(walk: Walk, call: Call) -> list[Any]:
    """The same; what comes second is of the batch, and is not to be used."""
    return [_by_statistics(walk, call), *(None for _ in call.shape[1:])]


def _by_statistics(walk: Walk, call: Call) -> Value:
    if call["training"]:
        raise NoRuleError("it normalises by the batch")
    value, variance = call["input"], call["running_var"]
    if not isinstance(value, Value) or not isinstance(variance, Tensor):
        raise NoRuleError
    factor = (variance.double() + call["eps"]).rsqrt()
    if call["weight"] is not None:
        factor = factor * call["weight"].double()
    shaped = factor.reshape(1, -1, *(1,) * (len(value.shape) - 2))
    return walk.linear(call, Scale(shaped, value.shape), value, layer=True)


@rule("layer_norm")
def layer_norm(walk: Walk, call: Call) -> Value:
    """‖diag(γ) C‖₂ / √(v + ε)."""
    value = call["input"]
    count = len(call["normalized_shape"])
    return _by_entries(walk, call, value, count, centred=True)


@rule("rms_norm")
def rms_norm(walk: Walk, call: Call) -> Value:
    """Max |γ| / √(v + ε), with the mean square v."""
    value = call["input"]
    count = len(call["normalized_shape"])
    return _by_entries(walk, call, value, count, centred=False)


def _by_entries(walk: Walk, call: Call, value: Any, count: int, *, centred: bool) -> Value:
    if not isinstance(value, Value) or any(isinstance(call[n], Value) for n in ("weight", "bias")):
        raise NoRuleError
    shape = value.shape
    size = math.prod(shape[-count:])
    epsilon = call["eps"]
    if epsilon is None:  # of the type that it computes in, which `own_epsilon` keeps elsewhere
        epsilon = torch.finfo(call.node.meta["val"].dtype).eps
    spread = _least_spread(walk, value, size, centred=centred) if count == 1 else 0.0
    if epsilon + spread == 0:
        raise NoRuleError("it divides by zero where entries are equal")
    core = walk.atom(call, shape, 1 / math.sqrt(epsilon + spread), value.expression)
    ball = Rows(torch.zeros(shape, dtype=torch.float64, device=walk.device), math.sqrt(size))
    gain = call["weight"].double() if call["weight"] is not None else None
    piece = _gain(gain, shape, count, centred=centred)
    _tell(walk, call, piece, epsilon, spread)
    if piece is None:
        found = Value(Leaf(core), peak=math.sqrt(size))
    else:
        found = Value(applied(piece, Leaf(core)))
    if count == 1:
        shift = call["bias"] if call["bias"] is not None else ball.centre
        centre = shift.double().expand(shape)
        found.rows = Rows(centre, ball.radius * (piece.row_norm if piece is not None else 1.0))
    elif gain is not None:
        shift = call["bias"]
        found.peak = math.sqrt(size) * float(gain.abs().max()) + (
            float(shift.abs().max()) if shift is not None else 0.0
        )
    return found


def _gain(
    gain: Tensor | None, shape: tuple[int, ...], count: int, *, centred: bool
) -> Piece | None:
    """Return diag(γ) C; C changes nothing there, but shortens the product with what comes next."""
    if gain is None:
        return None
    if count > 1 or not centred:
        return Scale(gain.reshape((1,) * (len(shape) - count) + tuple(gain.shape)), shape)
    return Matrix(torch.diag(gain) - gain[:, None] / len(gain), shape)


def _least_spread(walk: Walk, value: Value, size: int, *, centred: bool) -> float:
    """Return a lower bound of the variance (or mean square) of any row, where rows are known."""
    found = 0.0
    for ball in walk.balls(value):
        centre = ball.centre - ball.centre.mean(-1, keepdim=True) if centred else ball.centre
        lengths = torch.linalg.vector_norm(centre, dim=-1)
        found = max(found, float(lengths.min()) - ball.radius)
    return found * found / size


def _tell(walk: Walk, call: Call, piece: Piece | None, epsilon: float, spread: float) -> None:
    norm = piece.norm if piece is not None else 1.0
    attained = norm / math.sqrt(epsilon) if spread == 0 else math.nan
    walk.layers.append(
        Layer(
            call.module or call.name,
            call.name,
            None,
            norm / math.sqrt(epsilon + spread),
            attained,
            "where all entries are equal" if spread == 0 else "on the ball",
        )
    )


@rule("group_norm")
def group_norm(walk: Walk, call: Call) -> Value:
    """Max |γ| / √ε: groups are normalised by themselves."""
    return _by_groups(walk, call)


@rule("instance_norm")
def instance_norm(walk: Walk, call: Call) -> Value:
    """Max |γ| / √ε with statistics of the sample, else as BatchNorm."""
    if not call["use_input_stats"]:
        return _by_statistics(walk, call)
    return _by_groups(walk, call)


def _by_groups(walk: Walk, call: Call) -> Value:
    value, gain = call["input"], call["weight"]
    if not isinstance(value, Value) or isinstance(gain, Value):
        raise NoRuleError
    core = walk.atom(call, value.shape, 1 / math.sqrt(call["eps"]), value.expression)
    if gain is None:
        _tell(walk, call, None, call["eps"], 0.0)
        return Value(Leaf(core))
    piece = Scale(gain.double().reshape(1, -1, *(1,) * (len(value.shape) - 2)), value.shape)
    _tell(walk, call, piece, call["eps"], 0.0)
    return Value(applied(piece, Leaf(core)))
