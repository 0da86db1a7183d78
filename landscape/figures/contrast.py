"""Differences of numbers between two answers, with their intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True)
class ContrastInk:
    """What is drawn of k numbers, from above: B − A over the larger magnitude of the two."""

    names: tuple[str, ...]
    values: tuple[float, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    verdicts: tuple[str, ...]
    a: str
    b: str


def draw_contrasts(axes: Axes, ink: ContrastInk, *, label: str | None = None) -> None:
    """Draw one row per number: its relative difference, with a whisker for the interval."""
    from landscape.figures import contrast_axes

    contrast_axes.draw(axes, ink, label)
