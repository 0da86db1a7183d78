"""Rules of elementwise operations, sums and products."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from landscape.lipschitz.call import Call
from landscape.lipschitz.expression import Expression, Leaf, added, applied
from landscape.lipschitz.pieces import Nonnegative, Scale, Shape
from landscape.lipschitz.slopes import LOCAL, Slopes, slopes_of
from landscape.lipschitz.value import NoRuleError, Value
from landscape.lipschitz.walk import Walk, rule

_ACTIVATIONS = """
    relu relu6 hardtanh clamp clamp_min clamp_max tanh sigmoid special_expit hardsigmoid hardswish
    selu celu softplus log_sigmoid softsign tanhshrink softshrink abs sin cos atan asinh erf gelu
    silu mish leaky_relu elu square exp pow
"""
_SAME = """
    alias clone contiguous detach lift_fresh lift_fresh_copy dropout feature_dropout alpha_dropout
    requires_grad positive
"""
_EXACT = (torch.float32, torch.float64)


@rule(*_ACTIVATIONS.split())
def activation(walk: Walk, call: Call) -> Value:
    """The steepest slope, on the ball where there is no other."""
    (value,) = _only(call)
    reach = math.inf
    if call.name in LOCAL:
        if not walk.is_local:
            raise NoRuleError("its slope is not bounded", local=True)
        reach = walk.peak(value)
    slopes = slopes_of(call.name, call.__getitem__, reach)
    if slopes is None:
        raise NoRuleError("no rule for these arguments")
    return _bent(walk, call, value, slopes)


@rule("prelu", "_prelu_kernel")
def prelu(walk: Walk, call: Call) -> Value:
    """One slope below zero for each channel."""
    value, weight = call["self"], call["weight"]
    if not isinstance(value, Value) or isinstance(weight, Value):
        raise NoRuleError
    each = weight.reshape(-1, *(1,) * (len(value.shape) - 2)) if weight.numel() > 1 else weight
    one = torch.ones_like(each)
    slopes = Slopes(torch.minimum(each, one), torch.maximum(each, one))
    return _bent(walk, call, value, slopes)


def _bent(walk: Walk, call: Call, value: Value, slopes: Slopes) -> Value:
    atom = walk.atom(call, call.shape, slopes.steepest, value.expression)
    low, high = (
        torch.as_tensor(one, dtype=torch.float64, device=walk.device)
        for one in (slopes.lower, slopes.upper)
    )
    atom.slopes = (low, high)
    factors = (slopes.steepest,) if value.rows is not None else None
    return Value(Leaf(atom), peak=slopes.peak, row_factors=factors)


def _only(call: Call) -> list[Value]:
    varying = call.varying
    if len(varying) != 1:
        raise NoRuleError("its settings depend on the input")
    return varying


@rule(*_SAME.split())
def same(walk: Walk, call: Call) -> Value:
    """Nothing, in eval mode."""
    del walk
    if call["train"]:
        raise NoRuleError("it draws random numbers")
    return _kept(call)


@rule("to", "_to_copy", "float", "double", "type_as")
def to(walk: Walk, call: Call) -> Value:
    """Nothing, between single and double precision."""
    del walk
    if call.node.meta["val"].dtype not in _EXACT:
        raise NoRuleError("it rounds to another precision")
    return _kept(call)


def _kept(call: Call) -> Value:
    (value,) = _only(call)
    return Value(value.expression, peak=value.peak, rows=value.rows)


@rule("neg", "negative")
def neg(walk: Walk, call: Call) -> Value:
    """Minus one."""
    return _scaled(walk, call, call["self"], -1.0)


@rule("add")
def add(walk: Walk, call: Call) -> Value:
    """The sum of both constants."""
    return _sum(walk, call, call["self"], call["other"], 1.0, float(call["alpha"] or 1))


@rule("sub", "subtract")
def sub(walk: Walk, call: Call) -> Value:
    """The sum of both constants."""
    return _sum(walk, call, call["self"], call["other"], 1.0, -float(call["alpha"] or 1))


@rule("rsub")
def rsub(walk: Walk, call: Call) -> Value:
    """The sum of both constants."""
    return _sum(walk, call, call["self"], call["other"], -float(call["alpha"] or 1), 1.0)


def _sum(walk: Walk, call: Call, left: Any, right: Any, one: float, other: float) -> Value:
    pairs = [(p, f) for p, f in ((left, one), (right, other)) if isinstance(p, Value)]
    if call["alpha"] == 0:
        raise NoRuleError("a sum with nothing of its second part")
    parts = []
    for part, factor in pairs:
        wide = expanded(walk, part.expression, call.shape)
        parts.append(wide if factor == 1 else applied(_number(walk, factor, call.shape), wide))
    expression = parts[0] if len(parts) == 1 else added(*parts)
    narrow = any(part.shape != call.shape for part, _ in pairs)
    factors = None if narrow else tuple(abs(factor) for _, factor in pairs)
    return Value(expression, row_factors=factors)


def expanded(walk: Walk, expression: Expression, shape: Shape) -> Expression:
    """Return an expression repeated to a larger shape."""
    if expression.shape == shape:
        return expression
    piece = Nonnegative(lambda x: x.expand(shape), expression.shape, shape, walk.device, moves=True)
    return applied(piece, expression)


def _number(walk: Walk, factor: float, shape: Shape) -> Scale:
    whole = torch.full((1,) * len(shape), factor, dtype=torch.float64, device=walk.device)
    return Scale(whole, shape)


@rule("mul", "multiply")
def mul(walk: Walk, call: Call) -> Value:
    """The largest factor; on a ball, |x| Lip(y) + |y| Lip(x)."""
    left, right = call["self"], call["other"]
    if isinstance(left, Value) and isinstance(right, Value):
        return _product(walk, call, left, right)
    value, factor = (left, right) if isinstance(left, Value) else (right, left)
    return _scaled(walk, call, value, factor)


@rule("div", "divide", "true_divide")
def div(walk: Walk, call: Call) -> Value:
    """The inverse of the smallest divisor."""
    if isinstance(call["other"], Value) or call["rounding_mode"] is not None:
        raise NoRuleError("there is no rule for a divisor that depends on the input")
    return _scaled(walk, call, call["self"], 1 / call["other"])


def _scaled(walk: Walk, call: Call, value: Value, factor: Any) -> Value:
    factor = torch.as_tensor(factor, dtype=torch.float64, device=walk.device)
    rank = len(call.shape)
    factor = factor.reshape((1,) * (rank - factor.dim()) + tuple(factor.shape))
    wide = expanded(walk, value.expression, call.shape)
    piece = Scale(factor, call.shape)
    factors = (piece.norm,) if value.shape == call.shape else None
    return Value(applied(piece, wide), row_factors=factors)


def _product(walk: Walk, call: Call, left: Value, right: Value) -> Value:
    if not walk.is_local:
        raise NoRuleError("a product of two values is not globally Lipschitz", local=True)
    constants = [
        walk.bounds.of(expanded(walk, one.expression, call.shape)) for one in (left, right)
    ]
    factor = walk.peak(left) * constants[1] + walk.peak(right) * constants[0]
    return Value(Leaf(walk.atom(call, call.shape, factor, None)))


@rule("maximum", "minimum", "max.other", "min.other")
def larger(walk: Walk, call: Call) -> Value:
    """√(Lip(x)² + Lip(y)²): each entry follows one of both."""
    parts = [one for one in (call["self"], call["other"]) if isinstance(one, Value)]
    wide = [walk.bounds.of(expanded(walk, one.expression, call.shape)) for one in parts]
    return Value(Leaf(walk.atom(call, call.shape, math.hypot(*wide), None)))


@rule("where")
def where(walk: Walk, call: Call) -> Value:
    """Nothing, where the condition does not depend on the input."""
    condition = call["condition"]
    if isinstance(condition, Value):
        raise NoRuleError("its condition depends on the input")
    parts = []
    for part, chosen in ((call["self"], condition), (call["other"], ~condition)):
        if isinstance(part, Value):
            parts.append(_masked(walk, part.expression, chosen, call.shape))
    return Value(parts[0] if len(parts) == 1 else added(*parts))


@rule("masked_fill")
def masked_fill(walk: Walk, call: Call) -> Value:
    """Nothing, where the mask does not depend on the input."""
    if isinstance(call["mask"], Value) or isinstance(call["value"], Value):
        raise NoRuleError("its mask depends on the input")
    return Value(_masked(walk, call["self"].expression, ~call["mask"], call.shape))


def _masked(walk: Walk, expression: Expression, kept: Tensor, shape: Shape) -> Expression:
    whole = kept.double().reshape((1,) * (len(shape) - kept.dim()) + tuple(kept.shape))
    return applied(Scale(whole, shape), expanded(walk, expression, shape))
