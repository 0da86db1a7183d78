"""Several networks: where each lies, and how alike two of them are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class SolutionsInk:
    """What is drawn of t networks."""

    names: tuple[str, ...]
    across: tuple[float, ...]
    across_ends: tuple[Interval, ...]
    up: tuple[float, ...]
    up_ends: tuple[Interval, ...]
    quantity: str  # along the horizontal axis
    judged: str  # along the vertical one


@dataclass(frozen=True, kw_only=True)
class AlikeInk:
    """What is drawn of the pairs of t networks; NaN where there is no number."""

    names: tuple[str, ...]
    above: np.ndarray  # (t, t), upper triangle
    below: np.ndarray  # (t, t), lower triangle
    above_told: str
    below_told: str
    shares: tuple[bool, bool]  # whether above and below are shares


def draw_solutions(
    axes: Axes, ink: SolutionsInk, *, label: str | None = None, colour: str | None = None
) -> None:
    """Draw a mark for each network, with whiskers both ways."""
    from landscape.figures import solutions_axes

    solutions_axes.draw(axes, ink, label, colour)


def draw_alike(axes: Axes, *, ink: AlikeInk) -> None:
    """Draw the matrix of the pairs, one quantity above and another below the diagonal."""
    from landscape.figures import solutions_axes

    solutions_axes.matrix(axes, ink)
