"""What operations do to the axes of tensors: the walk over a graph, and the table of its rules."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor
from torch.fx import Node

from landscape.errors import out_of_memory
from landscape.subject.graph import Exported, arguments_of, module_of, name_of, shape_of
from landscape.symmetry.axes import (
    Axes,
    Label,
    freeze,
    freeze_all,
    fresh,
    leaves,
    root,
    settle,
    size_of,
    unify,
    within,
)

Rule = Callable[["Walk", "Call"], Any]

RULES: dict[str, Rule] = {}
_SILENT = ("_assert", "sym_", "_local_scalar_dense", "item")  # they give no tensor


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register what some operations do to axes."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return register


class NotExpressedError(Exception):
    """A rule does not cover a use of its operation: it is treated as unknown."""


@dataclass(frozen=True)
class Call:
    """One operation of the graph, its arguments by the names of its schema."""

    name: str
    where: str  # the operation and its module, for people
    arguments: Mapping[str, Any]
    shape: Any  # of the output, or of each output
    varying: bool  # whether it depends on the inputs
    used: Collection[int]  # which of the outputs something depends on

    def __getitem__(self, key: str) -> Any:
        return self.arguments.get(key)


@dataclass
class Walk:
    """The labels of every value in a graph, as far as it has been read."""

    tensors: dict[str, Axes]
    values: dict[Node, Any] = field(default_factory=dict)
    joints: list[Axes] = field(default_factory=list)
    unknown: dict[str, list[str]] = field(default_factory=dict)
    unused: set[str] = field(default_factory=set)  # tensors
    kept: list[Label] = field(default_factory=list)  # pieces that were taken and used
    left: list[Label] = field(default_factory=list)  # pieces of weights that were not
    varying: set[Node] = field(default_factory=set)  # what depends on the inputs
    live: set[Node] = field(default_factory=set)  # what an output depends on

    def axes(self, value: Any) -> Axes:
        """Return the labels of a tensor argument; numbers have no axes."""
        if isinstance(value, Node):
            return self.values[value]
        return ()

    def tie(self, call: Call, first: Label, second: Label) -> None:
        """Make two axes the same."""
        unify(first, second, call.where)

    def freeze(self, call: Call, axes: Iterable[Label]) -> None:
        """Freeze axes that an operation mixes."""
        freeze_all(axes, call.where)

    def joint(self, *labels: Label) -> None:
        """Say that an operation runs over some axes together."""
        axes = tuple(labels)
        present = dict.fromkeys(atom for label in axes for atom in within(label))
        for atom in present:
            if atom.copies is not None and root(atom.copies[0]) not in present:
                settle(atom)
        self.joints.append(axes)

    def piece(self, call: Call, label: Label, *, used: bool) -> None:
        """Say whether a piece of an axis is used; weights that are not keep their order."""
        if used:
            self.kept.append(label)
        elif not call.varying:
            self.left.append(label)

    def frozen(self, call: Call) -> Any:
        """Return frozen labels in the shape of the output."""
        return _labelled(call.shape, lambda size: fresh(size, call.where))


def walk(
    graphs: Iterable[Exported],
    tensors: Mapping[str, Tensor],
    constants: Collection[str],
    aliases: Mapping[str, str],
    treated: Mapping[str, str],
) -> Walk:
    """Return the labels of the network's tensors, tied and frozen as every graph demands.

    Args:
        graphs: Of the same network, from different batches.
        tensors: Parameters and buffers by name.
        constants: Those that do not move, unless they are running statistics of a BatchNorm.
        aliases: Other names of tied tensors, and the names that they have in `tensors`.
        treated: Operations that the user declares, and the known ones that they are like.
    """
    graphs = list(graphs)
    labels = {name: tuple(fresh(size) for size in t.shape) for name, t in tensors.items()}
    moving = {name for each in graphs for name in _statistics(each, aliases)}
    for name in set(constants) - moving:
        freeze_all(labels[name], "a constant of the network")
    state = Walk(labels, joints=list(labels.values()), unused=set(labels))
    for each in graphs:
        _read(state, each, aliases, treated)
    for name in state.unused:
        freeze_all(labels[name], "not used in the forward")
    kept = {atom for label in state.kept for atom in leaves(label)}
    for label in state.left:  # another batch may take it: positions, for example
        freeze([atom for atom in leaves(label) if atom not in kept], "not used for this batch")
    return state


def _read(
    state: Walk, exported: Exported, aliases: Mapping[str, str], treated: Mapping[str, str]
) -> None:
    state.live |= _live(exported)
    for node in exported.graph.nodes:
        given = exported.names.get(node.name)
        if given is not None:
            name = aliases.get(given, given)
            state.unused -= {name} if node in state.live else set()
            state.values[node] = state.tensors[name]
        elif node.op in ("placeholder", "get_attr"):
            state.varying |= {node} if node.op == "placeholder" else set()
            state.values[node] = _labelled(_shape(node), lambda size: fresh(size, "input"))
        elif node.op == "output":
            for one in node.all_input_nodes:
                freeze_all(_each(state.values[one]), "output")
        elif node.op == "call_function":
            state.values[node] = _called(state, node, treated)


def _live(exported: Exported) -> set[Node]:
    """Return what the outputs depend on, and what writes into a tensor."""
    found: set[Node] = set()
    for node in reversed(exported.graph.nodes):
        writes = getattr(getattr(node.target, "_schema", None), "is_mutable", False)
        if node.op == "output" or writes or node in found:
            found |= {node, *node.all_input_nodes}
    return found


def _called(state: Walk, node: Node, treated: Mapping[str, str]) -> Any:
    varying = not state.varying.isdisjoint(node.all_input_nodes)
    state.varying |= {node} if varying else set()
    if node.target is operator.getitem:
        return state.values[node.args[0]][node.args[1]]  # pyright: ignore[reportArgumentType]
    call = _call(node, varying=varying, used=_used(node, state.live))
    if call.shape is None and (call.name.startswith(_SILENT) or not node.all_input_nodes):
        return None
    known = RULES.get(treated.get(call.name, call.name))
    if known is None and not node.all_input_nodes:  # such as arange
        return state.frozen(call)
    try:
        if known is None:
            raise NotExpressedError
        found = known(state, call)
        if _sizes(found) != call.shape:
            raise NotExpressedError
        for axes in found if isinstance(found, list) else [found]:
            state.joint(*axes)
    except Exception as error:  # in whatever way a rule fails, its operation is unknown
        if out_of_memory(error) is not None:
            raise
        state.unknown.setdefault(call.name, []).append(call.where)
        for one in node.all_input_nodes:
            freeze_all(_each(state.values[one]), f"unknown operation {call.where}")
        return state.frozen(call)
    return found


def _used(node: Node, live: set[Node]) -> Collection[int]:
    """Return which outputs of an operation are used; the first is the only one of most."""
    users = [user for user in node.users if user in live]
    if any(user.target is not operator.getitem for user in users):
        value = node.meta.get("val")
        return range(len(value) if isinstance(value, tuple | list) else 1)
    return {int(user.args[1]) for user in users}  # pyright: ignore[reportArgumentType]


def _sizes(found: Any) -> Any:
    if isinstance(found, list):
        return [_sizes(each) for each in found]
    return tuple(map(size_of, found))


def _call(node: Node, *, varying: bool = True, used: Collection[int] = ()) -> Call:
    name, arguments = name_of(node), arguments_of(node, node.args, node.kwargs)
    module = module_of(node)
    where = f"{name} in {module}" if module else name
    return Call(name, where, arguments, _shape(node), varying, used)


def _shape(node: Node) -> Any:
    value = node.meta.get("val")
    if value is None and node.op == "get_attr":
        value = getattr(node.graph.owning_module, str(node.target), None)
    return shape_of(value)


def _labelled(shape: Any, label: Callable[[int], Label]) -> Any:
    if isinstance(shape, list):
        return [_labelled(each, label) for each in shape]
    return tuple(label(size) for size in shape or ())


def _each(value: Any) -> Iterable[Label]:
    """Return every axis of a value; lists hold several tensors."""
    if isinstance(value, list):
        return [label for each in value for label in _each(each)]
    return value or ()


def _statistics(exported: Exported, aliases: Mapping[str, str]) -> set[str]:
    """Return the names of the running statistics, which move with their channels."""
    found = set()
    for node in exported.graph.nodes:
        if node.op == "call_function" and "batch_norm" in str(node.target):
            call = _call(node)
            for key in ("running_mean", "running_var"):
                name = exported.names.get(getattr(call[key], "name", ""))
                if name is not None:
                    found.add(aliases.get(name, name))
    return found


def positive(dimensions: Any, rank: int) -> list[int]:
    """Return dimensions counted from the front; None means all."""
    if rank == 0 or dimensions is None or (isinstance(dimensions, Sequence) and not dimensions):
        return list(range(rank))
    many = dimensions if isinstance(dimensions, Sequence) else [dimensions]
    return [one % rank for one in many]
