"""The walk over a network's graph that bounds every value; rules say what operations do."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node
from torch.utils import _pytree as pytree

from landscape import progress
from landscape.lipschitz.bounds import Bounds
from landscape.lipschitz.call import Call, at, call_of, doubled, run, sign_of
from landscape.lipschitz.expression import Atom, Expression, Joined, Leaf, applied
from landscape.lipschitz.pieces import Nonnegative, Piece, Shape
from landscape.lipschitz.untouched import require_untouched
from landscape.lipschitz.value import Layer, NoRuleError, Refusal, Rows, Value
from landscape.subject.graph import Exported

Rule = Callable[["Walk", Call], Any]

RULES: dict[str, Rule] = {}
_SILENT = ("_assert", "sym_", "_local_scalar_dense", "item")  # they give no tensor


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register what some operations do to Lipschitz constants."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return register


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
        sign = sign_of(call, key)
        alike = None if sign is None else (sign, value.shape, leaving, part)
        piece = self.known.get(alike)
        if piece is None:
            piece = Nonnegative(action, value.shape, leaving, self.device, moves=moves)
            if alike is not None:
                self.known[alike] = piece
        return self.linear(call, piece, value)


def _largest(tensor: Tensor) -> float:
    return float(tensor.abs().max()) if tensor.numel() else 0.0


def _row_norm(tensor: Tensor) -> float:
    return (
        float(torch.linalg.vector_norm(tensor, dim=-1).max()) if tensor.dim() else _largest(tensor)
    )


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
        return run(call, {}) if "val" in node.meta else None
    start = call.name == "embedding" and node.args[1] in tokens
    if not call.varying and not start:
        return run(call, {})
    try:
        known = RULES.get(call.name)
        if known is None:
            raise NoRuleError
        require_untouched(node)
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
        origins = at(call, [one.at_origin for one in varying])
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
        centres = _listed(at(call, [ball.centre for ball in balls if ball is not None]))
        radius = math.fsum(f * b.radius for f, b in zip(factors, balls, strict=True) if b)
        part.rows = Rows(centres[place], radius)
    return found


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, tuple | list) else [value]
