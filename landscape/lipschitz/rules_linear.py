"""Rules of matrices, convolutions and look-ups."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from landscape.lipschitz.call import Call
from landscape.lipschitz.convolution import Convolution
from landscape.lipschitz.expression import Atom, Leaf
from landscape.lipschitz.pieces import Convolve, LeftMatrix, Matrix
from landscape.lipschitz.value import NoRuleError, Rows, Value
from landscape.lipschitz.walk import Walk, rule


@rule("linear")
def linear(walk: Walk, call: Call) -> Value:
    """‖W‖₂."""
    return _matrix(walk, call, call["input"], call["weight"])


@rule("addmm", "addmv")
def addmm(walk: Walk, call: Call) -> Value:
    """C + A B with constant B and C."""
    value, weight = call["mat1"], call["mat2"]
    plain = call["alpha"] == 1 and call["beta"] == 1 and not isinstance(call["self"], Value)
    if not plain or not isinstance(weight, Tensor):
        raise NoRuleError
    return _matrix(walk, call, value, weight.T)


def _matrix(walk: Walk, call: Call, value: Any, weight: Any) -> Value:
    if not isinstance(value, Value) or not isinstance(weight, Tensor):
        raise NoRuleError("its weights depend on the input")
    return walk.linear(call, Matrix(weight, value.shape), value, layer=True)


@rule("matmul", "mm", "bmm", "mv", "dot")
def matmul(walk: Walk, call: Call) -> Value:
    """‖W‖₂ of the constant side; on a ball, ‖A‖ Lip(B) + ‖B‖ Lip(A)."""
    left = call["self"]
    others = (call["other"], call["mat2"], call["vec"], call["tensor"])
    right = next(one for one in others if one is not None)
    if isinstance(left, Value) and isinstance(right, Value):
        return _bilinear(walk, call, left, right)
    if isinstance(left, Value) and isinstance(right, Tensor) and right.dim() == 2:
        return walk.linear(call, Matrix(right.T, left.shape), left, layer=True)
    if (
        isinstance(right, Value)
        and isinstance(left, Tensor)
        and min(left.dim(), len(right.shape)) > 1
    ):
        return walk.linear(call, LeftMatrix(left, right.shape, call.shape), right, layer=True)
    raise NoRuleError


def _bilinear(walk: Walk, call: Call, left: Value, right: Value) -> Value:
    if not walk.is_local:
        raise NoRuleError("a product of two values is not globally Lipschitz", local=True)
    if left.shape[:-2] != right.shape[:-2] or len(left.shape) < 2:
        raise NoRuleError("a product of two values with broadcast batches")
    factor = _size(walk, left) * walk.constant(right) + _size(walk, right) * walk.constant(left)
    return Value(Leaf(walk.atom(call, call.shape, factor, None)))


def _size(walk: Walk, value: Value) -> float:
    """Return a bound of the spectral norm of each matrix of a value on the ball."""
    found = [math.sqrt(value.shape[-2]) * walk.row_norm(value)]
    if value.at_origin is not None:
        found.append(float(torch.linalg.vector_norm(value.at_origin)) + walk.reach(value))
    return min(found)


@rule("conv1d", "conv2d", "conv3d", "convolution", "_convolution")
def convolution(walk: Walk, call: Call) -> Value:
    """The norm on the true input size."""
    if call["transposed"]:
        return transposed(walk, call)
    value, weight = _given(call)
    rank = weight.dim() - 2
    stride, dilation = _each(call["stride"], rank), _each(call["dilation"], rank)
    entering, leaving = value.shape[-rank:], call.shape[-rank:]
    padding = _padding(call["padding"], weight.shape[2:], dilation)
    made = Convolution(
        weight=weight,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=call["groups"],
        entering=entering,
        leaving=leaving,
    )
    return walk.linear(call, Convolve(made, value.shape, call.shape), value, layer=True)


@rule("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def transposed(walk: Walk, call: Call) -> Value:
    """The norm of the convolution whose adjoint it is."""
    value, weight = _given(call)
    rank = weight.dim() - 2
    made = Convolution(
        weight=weight,
        stride=_each(call["stride"], rank),
        padding=_each(call["padding"], rank),
        dilation=_each(call["dilation"], rank),
        groups=call["groups"],
        entering=call.shape[-rank:],
        leaving=value.shape[-rank:],
    )
    piece = Convolve(made, value.shape, call.shape, transposed=True)
    return walk.linear(call, piece, value, layer=True)


def _given(call: Call) -> tuple[Value, Tensor]:
    value, weight = call["input"], call["weight"]
    if not isinstance(value, Value) or not isinstance(weight, Tensor):
        raise NoRuleError("its weights depend on the input")
    return value, weight


def _each(numbers: Any, rank: int) -> tuple[int, ...]:
    """Return one number for each axis."""
    many = tuple(numbers) if isinstance(numbers, tuple | list) else (numbers,)
    return many * rank if len(many) == 1 else many


def _padding(given: Any, kernel: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[int, ...]:
    if given == "valid":
        return (0,) * len(kernel)
    if given == "same":
        return tuple(d * (k - 1) // 2 for k, d in zip(kernel, dilation, strict=True))
    return _each(given, len(kernel))


@rule("embedding")
def embedding(walk: Walk, call: Call) -> Value:
    """Where the input begins, for token ids: sequences of rows of the table."""
    weight, indices = call["weight"], call["indices"]
    if isinstance(weight, Value) or isinstance(indices, Value):
        raise NoRuleError("its indices depend on the input")
    name = f"rows of {call.module or call.name}"
    value = Value(Leaf(Atom(name=name, shape=call.shape, factor=1.0, device=walk.device)))
    if walk.is_local:
        table = weight.double()
        centre = table.mean(0)
        radius = float(torch.linalg.vector_norm(table - centre, dim=-1).max())
        centres = centre.expand(call.shape)
        value.at_origin, value.rows = centres, Rows(centres, radius)
        walk.radius = math.hypot(walk.radius, radius * math.sqrt(indices.numel()))
    return value
