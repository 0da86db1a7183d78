"""Lipschitz constants between what is attained and what is proved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True)
class BracketInk:
    """What is drawn of one network; NaN where a number is not known.

    Args:
        name: Of the checkpoint.
        lower: Attained.
        upper: Certified.
        at_data: Attained by small steps from samples.
        product: Of the norms of all layers, where the network is a chain.
        domain: Where the bounds hold, in words.
    """

    name: str
    lower: float
    upper: float
    at_data: float
    product: float
    domain: str


@dataclass(frozen=True, kw_only=True)
class BracketSeriesInk:
    """What is drawn of a series of t checkpoints."""

    places: np.ndarray  # (t,), optimizer steps, or the order
    names: tuple[str, ...]
    by_step: bool
    lower: np.ndarray  # (t,), NaN where not known
    upper: np.ndarray  # (t,)
    domain: str


def draw_bracket(
    axes: Axes, ink: BracketInk, *, label: str | None = None, colour: str | None = None
) -> None:
    """Draw one row per network: a bar from the attained to the certified constant, log axis."""
    from landscape.figures import bracket_axes

    bracket_axes.draw(axes, ink, label, colour)


def draw_bracket_series(axes: Axes, *, ink: BracketSeriesInk) -> None:
    """Draw both sides over the checkpoints, the bracket shaded."""
    from landscape.figures import bracket_axes

    bracket_axes.draw_series(axes, ink)
