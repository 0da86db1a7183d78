"""The graph of one sample of a subject, and what its placeholders stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node
from torch.utils import _pytree as pytree

from landscape.errors import ModelError, SettingError
from landscape.lipschitz.call import doubled
from landscape.lipschitz.walk import Inputs
from landscape.subject.batch import Batch
from landscape.subject.graph import Exported, exported
from landscape.subject.point import Point
from landscape.subject.subject import Subject


def graph_of(subject: Subject) -> tuple[Exported, Batch]:
    """Return the graph of the forward for the first sample alone, and that sample.

    Raises:
        SettingError: There are no data.
        ModelError: No graph can be made.
    """
    if subject.batches is None:
        raise SettingError(
            "no data were given",
            where="network bounds",
            why="the graph of a network is read from one call of it",
            hint="give --data; random:shape=3x32x32,classes=10 will do for a global bound",
        )
    network = subject.network
    first = next(iter(network.own.values()))
    floating = next((t for t in network.own.values() if t.is_floating_point()), first)
    sample = next(iter(subject.batches)).head(1).to(first.device, floating.dtype)
    return exported(network.model, sample.args, sample.kwargs, subject.criterion), sample


def inputs_of(found: Exported, sample: Batch, subject: Subject, point: Point) -> Inputs:
    """Return the network's tensors at a point, and which placeholders are inputs.

    Raises:
        ModelError: A placeholder cannot be told from the others.
    """
    tensors = subject.network.tensors(point)
    for first, others in subject.network.aliases.items():  # an export may use any name
        tensors |= dict.fromkeys(others, tensors[first])
    device = subject.device
    leaves = pytree.tree_leaves((sample.args, dict(sample.kwargs)))
    given = _inputs(found, leaves)
    constants: dict[Node, Any] = {}
    varying, tokens = list[Node](), set[Node]()
    for node in (one for one in found.graph.nodes if one.op == "placeholder"):
        name = found.names.get(node.name)
        if name is not None:
            constants[node] = doubled(tensors[name].detach().to(device))
        elif node not in given:
            constants[node] = doubled(_constant(node).to(device))
        elif isinstance(leaf := given[node], Tensor) and leaf.is_floating_point():
            varying.append(node)
        else:
            constants[node] = leaf.to(device) if isinstance(leaf, Tensor) else leaf
            tokens |= {node} if isinstance(leaf, Tensor) and not _is_mask(leaf) else set()
    return Inputs(constants, tuple(varying), frozenset(tokens))


def _is_mask(leaf: Tensor) -> bool:
    return leaf.dtype == torch.bool


def _inputs(found: Exported, leaves: Sequence[Any]) -> Mapping[Node, Any]:
    """Return the inputs by placeholder: the last ones of an export, equal ones of a trace."""
    nodes = [n for n in found.graph.nodes if n.op == "placeholder" and n.name not in found.names]
    if found.route != "trace":
        return dict(zip(nodes[len(nodes) - len(leaves) :], leaves, strict=True))
    waiting = [one for one in leaves if isinstance(one, Tensor)]
    matched: dict[Node, Any] = {}
    for node in nodes:
        value = node.meta["val"]
        place = next((i for i, one in enumerate(waiting) if _equal(one, value)), None)
        if place is not None:
            matched[node] = waiting.pop(place)
    return matched


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype and torch.equal(one, other)


def _constant(node: Node) -> Tensor:
    """Return the value of a tensor that the forward makes itself."""
    value = node.meta.get("val")
    held = getattr(value, "constant", None)  # of a fake tensor
    real = held if held is not None else value
    if not isinstance(real, Tensor) or type(real) is not Tensor:
        raise ModelError(
            f"the value of {node.name} is not in the exported graph",
            where="network bounds",
            why="the forward makes a tensor of its own",
            hint="register it as a buffer of the module",
        )
    return real
