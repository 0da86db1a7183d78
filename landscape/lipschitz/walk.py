"""The walk over a network's graph that bounds every value; rules say what operations do."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node
from torch.utils import _pytree as pytree

from landscape import progress
from landscape.lipschitz.bounds import Bounds
from landscape.lipschitz.expression import Atom, Expression, Joined, Leaf, applied
from landscape.lipschitz.pieces import Nonnegative, Piece, Shape
from landscape.subject.graph import Exported, module_of

Rule = Callable[["Walk", "Call"], Any]

RULES: dict[str, Rule] = {}
_SILENT = ("_assert", "sym_", "_local_scalar_dense", "item")  # they give no tensor


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register what some operations do to Lipschitz constants."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return register


class NoRuleError(Exception):
    """An operation, or a use of it, has no rule; `local`: it has one where values are bounded."""

    def __init__(self, reason: str = "there is no rule for it", *, local: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.local = local


@dataclass(frozen=True)
class Refusal:
    """An operation that no bound is known of, where it stands, and why."""

    operation: str
    module: str
    reason: str
    local: bool  # whether it has a bound on a ball

    @property
    def told(self) -> str:
        """Return operation and module."""
        return f"{self.operation} at {self.module}" if self.module else self.operation


@dataclass(frozen=True)
class Rows:
    """Every row of a value (along its last axis) lies within `radius` of that of `centre`."""

    centre: Tensor
    radius: float


@dataclass(eq=False)
class Value:
    """What depends on the input."""

    expression: Expression
    at_origin: Tensor | None = None  # its value at the centre of the ball
    rows: Rows | None = None
    peak: float = math.inf  # bound of its entries' size
    row_factors: tuple[float, ...] | None = None  # by which an operation stretches rows

    @property
    def shape(self) -> Shape:
        """Return its shape."""
        return self.expression.shape


@dataclass(frozen=True)
class Layer:
    """A layer by itself: its map, where it is linear, or its constant."""

    name: str
    operation: str
    piece: Piece | None
    constant: float  # of what is not linear, from above; NaN for a piece
    attained: float = math.nan  # the same from below
    note: str = ""


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


@dataclass(eq=False)
class Walk:
    """The state of a walk.

    Args:
        bounds: Composes constants.
        radius: Of the ball round the origin of the input; ∞: everywhere.
        device: Where constants are.
        known: Maps of operations that only move or average entries, which walks may share.
    """

    bounds: Bounds
    radius: float
    device: torch.device
    known: dict[object, Nonnegative] = field(default_factory=dict[object, Nonnegative])
    layers: list[Layer] = field(default_factory=list[Layer])
    refused: list[Refusal] = field(default_factory=list[Refusal])

    @property
    def is_local(self) -> bool:
        """Return whether values are bounded."""
        return math.isfinite(self.radius)

    def atom(self, call: Call, shape: Shape, factor: float, inner: Expression | None) -> Atom:
        """Return what a nonlinear operation gives."""
        return Atom(name=call.where, shape=shape, factor=factor, inner=inner, device=self.device)

    def constant(self, value: Value) -> float:
        """Return the Lipschitz constant from the input to a value."""
        return self.bounds.of(value.expression)

    def reach(self, value: Value) -> float:
        """Return how far a value can be from what it is at the origin, in ℓ₂."""
        constant = self.constant(value)
        return constant * self.radius if constant else 0.0

    def peak(self, value: Value) -> float:
        """Return a bound of the size of any entry."""
        found = [value.peak, math.inf]
        if value.at_origin is not None:
            found.append(_largest(value.at_origin) + self.reach(value))
        if value.rows is not None:
            found.append(_largest(value.rows.centre) + value.rows.radius)
        return min(found)

    def row_norm(self, value: Value) -> float:
        """Return a bound of the norm of any row."""
        return min((_row_norm(b.centre) + b.radius for b in self.balls(value)), default=math.inf)

    def balls(self, value: Value) -> list[Rows]:
        """Return the balls that the rows of a value are known to lie in."""
        found = [value.rows] if value.rows is not None else []
        if value.at_origin is not None and self.is_local:
            found.append(Rows(value.at_origin, self.reach(value)))
        return found

    def linear(self, call: Call, piece: Piece, value: Value, *, layer: bool = False) -> Value:
        """Return a piece applied to a value; `layer`: tell of its norm by itself."""
        if layer:
            self.layers.append(Layer(call.module or call.name, call.name, piece, math.nan))
        factors = (self.bounds.row_norm(piece),) if value.rows is not None else None
        return Value(applied(piece, value.expression), row_factors=factors)

    def moved(
        self,
        call: Call,
        value: Value,
        key: str = "self",
        *,
        moves: bool = True,
        part: int | None = None,
    ) -> Value:
        """Return a value to which the operation itself is applied, which must be linear and ≥ 0.

        Args:
            call: The operation; operations alike share one piece.
            value: What it is applied to.
            key: The argument that the value is.
            moves: Whether entries are moved, repeated or dropped only.
            part: Which of the results; None: there is one.
        """

        def action(x: Tensor) -> Tensor:
            found = run(call, {key: x})
            return found if part is None else found[part]

        leaving = call.shape if part is None else call.shape[part]
        sign = _sign(call, key)
        alike = None if sign is None else (sign, value.shape, leaving, part)
        piece = self.known.get(alike)
        if piece is None:
            piece = Nonnegative(action, value.shape, leaving, self.device, moves=moves)
            if alike is not None:
                self.known[alike] = piece
        return self.linear(call, piece, value)


def _sign(call: Call, key: str) -> object | None:
    """Return what makes two operations alike; None where tensors have a say in it."""
    others = {name: one for name, one in call.arguments.items() if name != key}
    leaves = pytree.tree_leaves(others, is_leaf=lambda one: isinstance(one, Value))
    if any(isinstance(one, Tensor | Value) for one in leaves):
        return None
    return call.node.target, key, repr(others)


def _largest(tensor: Tensor) -> float:
    return float(tensor.abs().max()) if tensor.numel() else 0.0


def _row_norm(tensor: Tensor) -> float:
    return (
        float(torch.linalg.vector_norm(tensor, dim=-1).max()) if tensor.dim() else _largest(tensor)
    )


def run(call: Call, replaced: Mapping[str, Any]) -> Any:
    """Return what an operation gives with some arguments replaced, in float64."""
    arguments = {**call.arguments, **replaced}
    return _executed(call, arguments)


def _executed(call: Call, arguments: Mapping[str, Any]) -> Any:
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
    if call.node.target.__name__.split(".")[0].endswith("_") and isinstance(first, Tensor):  # type: ignore[union-attr]
        positional[0] = first.clone()
    return doubled(target(*positional, **named))


def doubled(value: Any) -> Any:
    """Return a value with its floating tensors in float64."""
    return pytree.tree_map_only(Tensor, lambda t: t.double() if t.is_floating_point() else t, value)


@dataclass(frozen=True)
class Inputs:
    """What the placeholders of a graph stand for.

    Args:
        constants: Tensors and numbers by placeholder.
        varying: Placeholders of floating inputs.
        tokens: Placeholders of integer inputs: a look-up by them is where the input begins.
    """

    constants: Mapping[Node, Any]
    varying: tuple[Node, ...]
    tokens: frozenset[Node]


def walk(
    exported: Exported, inputs: Inputs, state: Walk, *, task: progress.Task | None = None
) -> Value:
    """Return the outputs of a graph, joined, with their bound in `state.bounds`.

    Args:
        exported: The graph of one sample.
        inputs: What its placeholders stand for.
        state: Collects layers and refusals.
        task: Told of every operation.

    Raises:
        NoRuleError: The output does not depend on the input.
    """
    values: dict[Node, Any] = dict(inputs.constants)
    tokens = set(inputs.tokens)
    for node in inputs.varying:
        values[node] = _input(state, node)
    for node in exported.graph.nodes:
        if task is not None:
            task.advance()
        if node.op == "get_attr":
            values[node] = doubled(getattr(exported.graph.owning_module, str(node.target)))
        elif node.op == "call_function":
            if not tokens.isdisjoint(node.all_input_nodes):
                tokens.add(node)
            values[node] = _value(state, node, values, tokens)
        elif node.op == "output":
            found = pytree.tree_map_only(Node, lambda one: values[one], node.args[0])
            return _joined(found)
    raise NoRuleError("the graph has no output")


def _input(state: Walk, node: Node) -> Value:
    shape = tuple(int(size) for size in node.meta["val"].shape)
    atom = Atom(name="input", shape=shape, factor=1.0, device=state.device)
    origin = torch.zeros(shape, dtype=torch.float64, device=state.device)
    return Value(Leaf(atom), at_origin=origin if state.is_local else None)


def _joined(found: Any) -> Value:
    leaves = pytree.tree_leaves(found, is_leaf=lambda x: isinstance(x, Value))
    parts = [one.expression for one in leaves if isinstance(one, Value)]
    if not parts:
        raise NoRuleError("the outputs do not depend on a floating input")
    if len(parts) == 1:
        return Value(parts[0])
    return Value(Joined(tuple(parts), 0, (sum(math.prod(one.shape) for one in parts),)))


def _value(state: Walk, node: Node, values: Mapping[Node, Any], tokens: set[Node]) -> Any:
    arguments = pytree.tree_map_only(Node, lambda one: values[one], (node.args, dict(node.kwargs)))
    if node.target is operator.getitem:
        return arguments[0][0][arguments[0][1]]
    call = call_of(node, *arguments)
    if call.name.startswith(_SILENT) and not call.varying:
        return _executed(call, call.arguments) if "val" in node.meta else None
    start = call.name == "embedding" and node.args[1] in tokens
    if not call.varying and not start:
        return _executed(call, call.arguments)
    try:
        known = RULES.get(call.name)
        if known is None:
            raise NoRuleError
        _require_untouched(node)
        found = known(state, call)
        return _completed(state, call, found)
    except NoRuleError as error:
        state.refused.append(Refusal(call.name, call.module, error.reason, error.local))
        return _unbounded(state, call)


def _unbounded(state: Walk, call: Call) -> Any:
    def one(shape: Any) -> Any:
        if isinstance(shape, list):
            return [one(each) for each in shape]
        if shape is None:
            return None
        zeros = torch.zeros(shape, dtype=torch.float64, device=state.device)
        return Value(Leaf(state.atom(call, shape, math.inf, None)), at_origin=zeros)

    return one(call.shape)


def _completed(state: Walk, call: Call, found: Any) -> Any:
    """Return the values of an operation with what they are at the origin, and where rows lie."""
    parts = found if isinstance(found, list) else [found]
    varying = call.varying
    if state.is_local and all(one.at_origin is not None for one in varying):
        origins = _at(call, [one.at_origin for one in varying])
        for part, origin in zip(parts, _listed(origins), strict=False):
            if isinstance(part, Value) and part.at_origin is None:
                part.at_origin = origin
    for place, part in enumerate(parts):
        factors = part.row_factors if isinstance(part, Value) else None
        if factors is None or part.rows is not None or not all(map(math.isfinite, factors)):
            continue
        balls = [one.rows for one in varying]
        if any(ball is None for ball in balls) or len(balls) != len(factors):
            continue
        centres = _listed(_at(call, [ball.centre for ball in balls if ball is not None]))
        radius = math.fsum(f * b.radius for f, b in zip(factors, balls, strict=True) if b)
        part.rows = Rows(centres[place], radius)
    return found


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, tuple | list) else [value]


def _at(call: Call, tensors: Sequence[Any]) -> Any:
    """Return what an operation gives for values of its varying arguments, in order."""
    given = iter(tensors)
    arguments = pytree.tree_map(
        lambda one: next(given) if isinstance(one, Value) else one,
        dict(call.arguments),
        is_leaf=lambda one: isinstance(one, Value),
    )
    return _executed(call, arguments)


_VIEWS = """
    view reshape _unsafe_view flatten unflatten unsqueeze squeeze transpose permute t slice select
    narrow expand chunk split split_with_sizes unbind detach alias getitem
"""


def _named(node: Node) -> str:
    return str(getattr(node.target, "__name__", node.target)).split(".")[0]


def _require_untouched(node: Node) -> None:
    """Refuse an operation that writes into a value which is read again under another name."""
    if not _named(node).endswith("_") or not isinstance(written := node.args[0], Node):
        return
    aliases, waiting = {written}, [written]
    while waiting:
        one = waiting.pop()
        around = [*one.users, *(one.all_input_nodes if _is_view(one) else [])]
        for other in around:
            linked = other in one.all_input_nodes or _is_view(other)
            if linked and other is not node and other not in aliases:
                aliases.add(other)
                waiting.append(other)
    order = {one: place for place, one in enumerate(node.graph.nodes)}
    readers = {user for one in aliases for user in one.users}
    if any(order[one] > order[node] for one in readers):
        raise NoRuleError("it writes into a value that is read again")


def _is_view(node: Node) -> bool:
    return node.op == "call_function" and _named(node) in _VIEWS.split()


def call_of(node: Node, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Call:
    """Return an operation with its arguments by name, defaults included."""
    schema = getattr(node.target, "_schema", None)
    name = getattr(node.target, "__name__", str(node.target)).split(".")[0]
    arguments = dict(kwargs)
    if schema is not None:
        defaults = {one.name: one.default_value for one in schema.arguments}
        arguments = {**defaults, **dict(zip(defaults, args, strict=False)), **kwargs}
    return Call(name.removesuffix("_"), module_of(node), arguments, shape_of(node), node)


def shape_of(node: Node) -> Any:
    """Return the shape of what an operation gives, or of each part."""
    return _shape(node.meta.get("val"))


def _shape(value: Any) -> Any:
    if isinstance(value, Tensor):
        return tuple(int(size) for size in value.shape)
    if isinstance(value, tuple | list):
        return [_shape(one) for one in value]
    return None
