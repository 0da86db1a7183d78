"""A coordinate check: exponents of the width by module, and the curves that they are slopes of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True)
class ExponentsInk:
    """What is drawn for every module.

    Args:
        names: Of the modules, in the order of computation.
        sizes: Slopes of ln E|x(0)| (modules,); NaN where there is none.
        changes: Slopes of ln E|x(t) − x(0)| (modules, steps); NaN where there is none.
        intervals: Of the slope of change that is farthest from zero (modules, 2).
        failing: Which modules fail (modules,).
        tolerance: Half the width of the band about zero.
    """

    names: tuple[str, ...]
    sizes: np.ndarray
    changes: np.ndarray
    intervals: np.ndarray
    failing: np.ndarray
    tolerance: float


@dataclass(frozen=True, kw_only=True)
class CurvesInk:
    """Mean absolute coordinates against the width.

    Args:
        widths: (w,).
        names: Of the modules, in the order of computation.
        size: E|x(t)| (modules, w).
        change: E|x(t) − x(0)| (modules, w).
        failing: Which modules fail (modules,).
        step: t.
    """

    widths: np.ndarray
    names: tuple[str, ...]
    size: np.ndarray
    change: np.ndarray
    failing: np.ndarray
    step: int


def draw_exponents(
    axes: Axes, ink: ExponentsInk, *, label: str | None = None, colour: str | None = None
) -> None:
    """Draw slopes as dots, one row a module, over the band that passes as zero.

    Drawing again on the same axes overlays.
    """
    from landscape.figures import coordinates_axes

    coordinates_axes.draw(axes, ink, label, colour)


def draw_curves(axes: Axes, *, ink: CurvesInk) -> None:
    """Draw sizes and changes side by side against the width, on log axes."""
    from landscape.figures import coordinates_axes

    coordinates_axes.draw_curves(axes, ink)
