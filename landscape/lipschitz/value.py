"""What a walk over a network's graph finds: values, layers, and operations without a bound."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from landscape.lipschitz.expression import Expression
from landscape.lipschitz.pieces import Piece, Shape


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
