"""Blocks of a graph that run under a setting, such as autocast, put in the place of their calls."""

from __future__ import annotations

import operator
from typing import Any

from torch.fx import GraphModule, Node

_WRAPPERS = ("wrap_with_autocast", "wrap_with_set_grad_enabled")


def inlined(module: GraphModule) -> GraphModule:
    """Return a graph in which no block stands behind a call of a wrapper.

    `torch.export` puts what runs under autocast, or with gradients on or off, into graphs of their
    own. Which numbers are tied to which does not depend on the setting.
    """
    for node in list(module.graph.nodes):
        if node.op == "call_function" and str(node.target) in _WRAPPERS:
            _put_in_place(module, node)
    return module


def _put_in_place(module: GraphModule, node: Node) -> None:
    at = next(
        i
        for i, each in enumerate(node.args)
        if isinstance(each, Node)
        and each.op == "get_attr"
        and isinstance(getattr(module, str(each.target), None), GraphModule)
    )
    block: GraphModule = inlined(getattr(module, str(node.args[at].target)))  # pyright: ignore
    given = iter(node.args[at + 1 :])
    inside: dict[Node, Any] = {}
    with module.graph.inserting_before(node):
        for each in block.graph.nodes:
            if each.op == "placeholder":
                inside[each] = next(given)
            elif each.op == "output":
                _replace(module, node, [inside.get(one, one) for one in each.args[0]])
            else:
                inside[each] = module.graph.node_copy(each, inside.__getitem__)
                if each.op == "get_attr":
                    _move(block, module, inside[each])


def _move(block: GraphModule, module: GraphModule, node: Node) -> None:
    """Make an attribute of a block one of the whole graph, under a name of its own."""
    name = f"{node.name}_inlined"
    setattr(module, name, getattr(block, str(node.target)))
    node.target = name


def _replace(module: GraphModule, node: Node, results: list[Any]) -> None:
    for user in list(node.users):
        if user.target is operator.getitem:
            user.replace_all_uses_with(results[user.args[1]])  # pyright: ignore
            module.graph.erase_node(user)
    if not node.users:
        module.graph.erase_node(node)
