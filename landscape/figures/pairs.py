"""Which of many networks are connected: the barrier of every pair, and the graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True)
class PairsInk:
    """What is drawn of r networks, in the order of their components.

    `barriers` holds the barrier of the straight line above the diagonal, and that of the best
    path below it.
    """

    names: tuple[str, ...]
    barriers: np.ndarray  # (r, r), NaN where there is none
    verdicts: tuple[tuple[str, ...], ...]  # (r, r), of the pair
    components: tuple[int, ...]  # (r,), the number of each one's component
    tolerance: float
    quantity: str


def draw_matrix(axes: Axes, ink: PairsInk, *, label: str | None = None) -> None:
    """Draw the barrier of every pair as a matrix, with a mark for its verdict."""
    from landscape.figures import pairs_axes

    pairs_axes.matrix(axes, ink, label)


def draw_graph(axes: Axes, ink: PairsInk) -> None:
    """Draw the networks on a circle, with an edge for each pair that is connected or undecided."""
    from landscape.figures import pairs_axes

    pairs_axes.graph(axes, ink)
