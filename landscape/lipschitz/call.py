"""One operation of a network's graph: its arguments by name, and what it gives for others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.fx import Node
from torch.utils import _pytree as pytree

from landscape.lipschitz.value import Value
from landscape.subject.graph import arguments_of, module_of, name_of, shape_of


@dataclass(frozen=True)
class Call:
    """One operation of the graph, its arguments by the names of its schema."""

    name: str
    module: str
    arguments: Mapping[str, Any]
    shape: Any
    node: Node

    def __getitem__(self, key: str) -> Any:
        return self.arguments.get(key)

    @property
    def where(self) -> str:
        """Return operation and module."""
        return f"{self.name} at {self.module}" if self.module else self.name

    @property
    def varying(self) -> list[Value]:
        """Return the arguments that depend on the input, those in lists too."""
        leaves = pytree.tree_leaves(dict(self.arguments), is_leaf=lambda x: isinstance(x, Value))
        return [one for one in leaves if isinstance(one, Value)]


def call_of(node: Node, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Call:
    """Return an operation with its arguments by name, defaults included."""
    return Call(
        name_of(node).removesuffix("_"),
        module_of(node),
        arguments_of(node, args, kwargs),
        shape_of(node.meta.get("val")),
        node,
    )


def run(call: Call, replaced: Mapping[str, Any]) -> Any:
    """Return what an operation gives with some arguments replaced, in float64."""
    arguments = {**call.arguments, **replaced}
    target: Any = call.node.target
    schema = target._schema
    positional, named = [], {}
    for one in schema.arguments:
        if one.name not in arguments:
            continue
        if one.kwarg_only:
            named[one.name] = arguments[one.name]
        else:
            positional.append(arguments[one.name])
    first = positional[0] if positional else None
    if name_of(call.node).endswith("_") and isinstance(first, Tensor):
        positional[0] = first.clone()
    return doubled(target(*positional, **named))


def doubled(value: Any) -> Any:
    """Return a value with its floating tensors in float64."""
    return pytree.tree_map_only(Tensor, lambda t: t.double() if t.is_floating_point() else t, value)


def at(call: Call, tensors: Sequence[Any]) -> Any:
    """Return what an operation gives for values of its varying arguments, in order."""
    given = iter(tensors)
    arguments = pytree.tree_map(
        lambda one: next(given) if isinstance(one, Value) else one,
        dict(call.arguments),
        is_leaf=lambda one: isinstance(one, Value),
    )
    return run(call, arguments)


def sign_of(call: Call, key: str) -> object | None:
    """Return what makes two operations alike; None where tensors have a say in it."""
    others = {name: one for name, one in call.arguments.items() if name != key}
    leaves = pytree.tree_leaves(others, is_leaf=lambda one: isinstance(one, Value))
    if any(isinstance(one, Tensor | Value) for one in leaves):
        return None
    return call.node.target, key, repr(others)
