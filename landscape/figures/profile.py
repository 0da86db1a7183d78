"""Several quantities along the layers, or along a series, each with its band."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True)
class Trace:
    """One quantity at every place; NaN where there is none."""

    name: str
    value: np.ndarray  # (l,)
    lower: np.ndarray  # (l,)
    upper: np.ndarray  # (l,)
    bound: np.ndarray  # (l,), 1: at least the value, -1: at most, 0: neither bound


@dataclass(frozen=True, kw_only=True)
class ProfileInk:
    """What is drawn.

    Args:
        names: Of the places.
        traces: The quantities.
        quantity: Written at the axis.
        along: What the places are: layers, or checkpoints.
        level: A value that is marked, such as 1 for an isometry; None: none.
    """

    names: tuple[str, ...]  # (l,)
    traces: tuple[Trace, ...]
    quantity: str
    along: str
    level: float | None = None


def draw_profile(axes: Axes, *, ink: ProfileInk) -> None:
    """Draw a line with marks and band for each quantity; a bound is an arrow, on no line."""
    from landscape.figures import profile_axes

    profile_axes.draw(axes, ink)
