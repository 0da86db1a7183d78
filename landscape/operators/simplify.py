"""Algebra that a recorded linear function allows, and that saves passes over memory.

Copies that change nothing, sums with zero and products with one are left out; a product with two
constants, one after the other, becomes a product with one; and the backward of an activation, which
is linear in its gradient, becomes a product with its slope.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, fx, nn

aten = torch.ops.aten

_SLOPES = (  # op(gradient, constants...) = gradient · op(1, constants...)
    aten.gelu_backward.default,
    aten.silu_backward.default,
    aten.sigmoid_backward.default,
    aten.tanh_backward.default,
    aten.softplus_backward.default,
    aten.elu_backward.default,
    aten.leaky_relu_backward.default,
    aten.hardswish_backward.default,
    aten.mish_backward.default,
)


def simplify(graph: fx.Graph, constants: nn.Module) -> None:
    """Simplify a recording in place.

    Args:
        graph: As the recorder makes it: every node that returns a tensor knows its `layout`.
        constants: Owns the constants; new ones are added.
    """
    simplifier = _Simplifier(graph, constants)
    for node in list(graph.nodes):
        if node.op == "call_function" and "layout" in node.meta:
            simplifier.visit(node)


class _Simplifier:
    def __init__(self, graph: fx.Graph, constants: nn.Module) -> None:
        self.graph = graph
        self.constants = constants
        self.changing = set(written(graph))
        self._new = 0

    def visit(self, node: fx.Node) -> None:
        if node.target is aten.as_strided.default:
            self._whole_view(node)
            return
        if node in self.changing:
            return
        if node.target is aten._to_copy.default:
            self._replace(node, node.args[0])
        elif node.target is aten.add.Tensor and not node.kwargs:
            for one, other in (node.args, node.args[::-1]):
                if self._is_filled(one, 0) and self._replace(node, other):
                    return
        elif node.target is aten.mul.Tensor:
            self._product(node)
        elif node.target in _SLOPES:
            self._slope(node)

    def _whole_view(self, node: fx.Node) -> None:
        """Use a tensor itself in place of a view of all of it."""
        owner, *_, offset = node.args
        if not isinstance(owner, fx.Node) or offset != 0:
            return
        if owner.meta.get("layout") == node.meta["layout"]:
            node.replace_all_uses_with(owner)
            self.graph.erase_node(node)

    def _product(self, node: fx.Node) -> None:
        for one, other in (node.args, node.args[::-1]):
            if (factor := self._value(one)) is None or not isinstance(other, fx.Node):
                continue
            if self._is_filled(one, 1) and self._replace(node, other):
                return
            inner = self._single_product(other)
            if inner is not None and self._value(other) is None:
                source, first = inner
                dtype = node.meta["layout"][2]
                self._rewrite(node, source, first.to(dtype) * factor.to(dtype))
            return

    def _single_product(self, node: fx.Node) -> tuple[fx.Node, Tensor] | None:
        """Return the factors of a product with a constant that is used only once."""
        if node.target is not aten.mul.Tensor or len(node.users) > 1 or node in self.changing:
            return None
        for one, other in (node.args, node.args[::-1]):
            value = self._value(one)
            if value is not None and isinstance(other, fx.Node) and self._value(other) is None:
                return other, value
        return None

    def _slope(self, node: fx.Node) -> None:
        gradient, *rest = node.args
        values = [self._value(one) if isinstance(one, fx.Node) else one for one in rest]
        tensors = [value for value in values if isinstance(value, Tensor)]
        if any(value is None for value in values) or len(tensors) != 1:
            return
        function: Callable[..., Tensor] = node.target  # pyright: ignore[reportAssignmentType]
        slope = function(torch.ones_like(tensors[0]), *values, **node.kwargs)
        if isinstance(gradient, fx.Node) and self._value(gradient) is None:
            self._rewrite(node, gradient, slope)

    def _rewrite(self, node: fx.Node, source: fx.Node, factor: Tensor) -> None:
        """Make a node the product of a tensor and a constant, where the layout stays."""
        shape, strides = node.meta["layout"][:2]
        given = source.meta.get("layout")
        if given is None or (given[0], given[1]) != (shape, strides):
            return
        if root(source) in self.changing:  # it may have another value by now
            return
        if list(torch.broadcast_shapes(shape, factor.shape)) != shape:
            return
        name = f"factor{self._new}"
        self._new += 1
        self.constants.register_buffer(name, factor)
        with self.graph.inserting_before(node):
            held = self.graph.get_attr(name)
        held.meta["layout"] = (list(factor.shape), list(factor.stride()), *given[2:])
        node.target, node.args, node.kwargs = aten.mul.Tensor, (source, held), {}

    def _replace(self, node: fx.Node, other: object) -> bool:
        """Use another tensor in place of a node, if it is laid out in the same way."""
        if not isinstance(other, fx.Node) or other.meta.get("layout") != node.meta["layout"]:
            return False
        seen_through = any(user.target is aten.as_strided.default for user in node.users)
        if root(other) in self.changing or (seen_through and root(other) is not other):
            return False
        node.replace_all_uses_with(other)
        self.graph.erase_node(node)
        return True

    def _value(self, node: object) -> Tensor | None:
        if isinstance(node, fx.Node) and node.op == "get_attr":
            return self.constants.get_buffer(str(node.target))
        return None

    def _is_filled(self, node: object, number: float) -> bool:
        value = self._value(node)
        return value is not None and bool((value == number).all())


def written(graph: fx.Graph) -> Iterator[fx.Node]:
    """Yield what operations write to in place, and what owns that memory."""
    for node in graph.nodes:
        schema = getattr(node.target, "_schema", None)
        if schema is None or not schema.is_mutable:
            continue
        for argument in node.all_input_nodes:
            yield argument
            yield root(argument)


def root(node: fx.Node) -> fx.Node:
    """Return what owns the memory that a node is a view of."""
    while node.target is aten.as_strided.default:
        node = node.all_input_nodes[0]
    return node
