"""Fewer operations in a recording, each of which is a pass over memory.

What is computed twice is computed once; a product that is only added to something becomes one
operation with the sum; and a result takes the place of an operand that nothing else needs.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import torch
from torch import fx

from landscape.operators.simplify import root, written

aten = torch.ops.aten

_WITH_SUM: dict[Any, Any] = {  # op(a, b) + c = op'(c, a, b)
    aten.mul.Tensor: aten.addcmul.default,
    aten.mm.default: aten.addmm.default,
    aten.bmm.default: aten.baddbmm.default,
}

_IN_PLACE: dict[Any, Any] = {
    aten.mul.Tensor: aten.mul_.Tensor,
    aten.mul.Scalar: aten.mul_.Scalar,
    aten.add.Tensor: aten.add_.Tensor,
    aten.sub.Tensor: aten.sub_.Tensor,
    aten.addcmul.default: aten.addcmul_.default,
    aten.addmm.default: aten.addmm_.default,
    aten.baddbmm.default: aten.baddbmm_.default,
}
_INTO: dict[Any, tuple[Any, str]] = {  # operations that take where to write as an argument
    aten.threshold_backward.default: (aten.threshold_backward.grad_input, "grad_input"),
}
_COMMUTATIVE = (aten.mul.Tensor, aten.add.Tensor)


def fuse(graph: fx.Graph) -> None:
    """Leave out and merge operations of a recording, in place.

    Args:
        graph: As the recorder makes it: every node that returns a tensor knows its `layout`.
    """
    changing = set(written(graph))
    _merge_equals(graph, changing)
    for node in list(graph.nodes):
        if node.target is aten.add.Tensor and not node.kwargs and node not in changing:
            _take_product_in(graph, node, changing)
    for node in list(graph.nodes):
        if (node.target in _IN_PLACE or node.target in _INTO) and node not in changing:
            _write_over(node, changing)


def _merge_equals(graph: fx.Graph, changing: set[fx.Node]) -> None:
    """Use the first of several nodes that compute the same from the same."""
    first: dict[Hashable, fx.Node] = {}
    for node in list(graph.nodes):
        if node.op not in ("call_function", "get_attr") or not _repeatable(node, changing):
            continue
        same = first.setdefault((node.target, _frozen(node.args), _frozen(node.kwargs)), node)
        if same is not node:
            node.replace_all_uses_with(same)
            graph.erase_node(node)


def _repeatable(node: fx.Node, changing: set[fx.Node]) -> bool:
    """Return whether a node gives the same whenever it is computed."""
    if any(root(one) in changing for one in (node, *node.all_input_nodes)):
        return False
    tags = getattr(node.target, "tags", ())
    return torch.Tag.nondeterministic_seeded not in tags and not _mutates(node)


def _mutates(node: fx.Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return schema is not None and schema.is_mutable


def _frozen(value: Any) -> Hashable:
    if isinstance(value, tuple | list):
        return tuple(_frozen(one) for one in value)
    if isinstance(value, dict):
        return tuple((name, _frozen(one)) for name, one in value.items())
    return type(value), value  # 1, 1.0 and True are not the same argument


def _take_product_in(graph: fx.Graph, node: fx.Node, changing: set[fx.Node]) -> None:
    """Make a sum with a product that nothing else uses one operation."""
    for product, other in (node.args, node.args[::-1]):
        if not isinstance(product, fx.Node) or not isinstance(other, fx.Node):
            continue
        if product is other:  # equal products, merged: the sum needs it whole
            continue
        fused = _WITH_SUM.get(product.target)
        if fused is None or len(product.users) > 1 or product.kwargs:
            continue
        factors = product.args
        inputs = (other, *factors)
        if not all(isinstance(one, fx.Node) and root(one) not in changing for one in inputs):
            continue
        elementwise = product.target is aten.mul.Tensor
        if product.meta["layout"] == node.meta["layout"] and _alike(node, inputs, elementwise):
            node.target, node.args = fused, inputs
            graph.erase_node(product)
            return


def _alike(node: fx.Node, inputs: tuple[Any, ...], elementwise: bool) -> bool:
    """Return whether one operation on all inputs returns what the node does, laid out alike.

    The layout of a matrix product is its own; that of an elementwise one follows from the inputs
    that have its shape.
    """
    shape, strides, dtype, device = node.meta["layout"]
    layouts = [one.meta["layout"] for one in inputs]
    whole = [layout[1] == strides for layout in layouts if layout[0] == shape]
    same = all(layout[2:] == (dtype, device) for layout in layouts)
    return same and dtype.is_floating_point and (not elementwise or (bool(whole) and all(whole)))


def _only_here(node: fx.Node) -> bool:
    """Return whether nothing but one operation sees the memory of a tensor, and from its start."""
    owner = root(node)
    seen = len(node.users) == 1 and (owner is node or (len(owner.users) == 1 and not node.args[3]))
    return seen and owner.op == "call_function" and not _shows(owner)


def _shows(node: fx.Node) -> bool:
    """Return whether an operation returns the memory of an argument that it does not write to."""
    schema = getattr(node.target, "_schema", None)
    returned = [one.alias_info for one in schema.returns] if schema is not None else []
    return any(one is not None and not one.is_write for one in returned)


def _write_over(node: fx.Node, changing: set[fx.Node]) -> None:
    """Let the result of an operation take the place of an operand that nothing else uses."""
    places = (0, 1) if node.target in _COMMUTATIVE and not node.kwargs else (0,)
    for place in places:
        operand = node.args[place]
        if not isinstance(operand, fx.Node) or not _only_here(operand) or operand in changing:
            continue
        if sum(one is operand for one in node.args) > 1:  # a + a C: it is read while written
            continue
        if operand.meta.get("layout") != node.meta["layout"]:
            continue
        if node.target in _INTO:
            node.target, name = _INTO[node.target]
            node.kwargs = {**node.kwargs, name: operand}
            return
        node.args = (operand, *(one for at, one in enumerate(node.args) if at != place))
        node.target = _IN_PLACE[node.target]
        return
