"""Rules of operations on single numbers, and of tensors made of nothing."""

from __future__ import annotations

from torch.fx import Node

from landscape.symmetry.axes import Axes, Label, fresh, size_of
from landscape.symmetry.rules import Call, NotExpressedError, Walk, rule

_UNARY = """
    abs acos acosh asin asinh atan atanh celu ceil clamp clamp_max clamp_min cos cosh deg2rad
    digamma elu erf erfc erfinv exp exp2 expm1 floor frac gelu hardshrink hardsigmoid hardswish
    hardtanh isfinite isinf isnan leaky_relu lgamma log log10 log1p log2 log_sigmoid logical_not
    logit mish neg negative nan_to_num reciprocal relu relu6 round rsqrt selu sgn sigmoid sign
    silu sin sinc sinh softplus softshrink softsign special_erf special_expit sqrt square tan tanh
    tanhshrink threshold trunc bitwise_not rad2deg positive
"""
_BINARY = """
    add addcdiv addcmul atan2 bitwise_and bitwise_or copysign div divide eq floor_divide fmax fmin
    fmod ge greater gt hypot le lerp less logaddexp logical_and logical_or logical_xor lt
    masked_fill maximum minimum mul multiply ne pow remainder rsub sub subtract true_divide where
    xlogy dropout feature_dropout alpha_dropout fill zero copy
"""
_SAME = """
    alias clone contiguous detach lift_fresh lift_fresh_copy to _to_copy type_as float double half
    bfloat16 type requires_grad_ detach_ zeros_like ones_like full_like empty_like
    positive _autocast_to_full_precision _autocast_to_reduced_precision
"""
_CONSTANT = "zeros ones full new_zeros new_ones new_full scalar_tensor"


def broadcast(walk: Walk, call: Call, operands: list[Axes]) -> Axes:
    """Return the labels of operands broadcast against each other, tied axis by axis."""
    rank = max(map(len, operands), default=0)
    found: list[Label] = [() for _ in range(rank)]
    for axes in operands:
        for i, label in enumerate(axes, start=rank - len(axes)):
            if size_of(label) == 1:
                continue
            if found[i]:
                walk.tie(call, found[i], label)
            else:
                found[i] = label
    return tuple(found)


@rule("elementwise", *_UNARY.split(), *_BINARY.split())
@rule(*(f"{name}_" for name in (_UNARY + _BINARY).split()))
def elementwise(walk: Walk, call: Call) -> Axes:
    """Tie all operands, axis by axis."""
    tensors = [each for each in call.arguments.values() if isinstance(each, Node)]
    if "dropout" in call.name and call["train"]:  # each unit draws for itself
        raise NotExpressedError
    if any(isinstance(each, list) for each in call.arguments.values()):
        raise NotExpressedError
    return broadcast(walk, call, [walk.axes(each) for each in tensors])


@rule(*_SAME.split())
def same(walk: Walk, call: Call) -> Axes:
    """Keep the labels of the first argument."""
    return walk.axes(call["self"] if call["self"] is not None else call["input"])


@rule(*_CONSTANT.split())
def constant(walk: Walk, call: Call) -> Axes:
    """Return free labels: every number is the same."""
    del walk
    return tuple(fresh(size) for size in call.shape)


@rule("prelu")
def prelu(walk: Walk, call: Call) -> Axes:
    """Tie the slopes, where there are many, to the channels."""
    axes, weight = walk.axes(call["self"]), walk.axes(call["weight"])
    if weight and size_of(weight[0]) > 1:
        walk.tie(call, axes[1], weight[0])
    return axes


@rule("softmax", "_softmax", "log_softmax", "_log_softmax", "_safe_softmax")
def softmax(walk: Walk, call: Call) -> Axes:
    """Normalise along one axis: the sum runs over the others."""
    axes = walk.axes(call["self"])
    if axes:
        dim = call["dim"] % len(axes)
        walk.joint(*axes[:dim], *axes[dim + 1 :])
    return axes


@rule("cumsum", "cumprod", "flip")
def ordered(walk: Walk, call: Call) -> Axes:
    """Freeze the axes whose order matters."""
    axes = walk.axes(call["self"])
    dims = call["dims"] if call["dims"] is not None else [call["dim"]]
    walk.freeze(call, [axes[dim] for dim in dims])
    return axes


@rule("tril", "triu")
def triangle(walk: Walk, call: Call) -> Axes:
    """Freeze rows and columns."""
    axes = walk.axes(call["self"])
    walk.freeze(call, axes[-2:])
    return axes
