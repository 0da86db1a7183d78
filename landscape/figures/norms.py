"""Norms of many tensors, one row each, on a log axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True)
class NormsInk:
    """What is drawn: one row per tensor, one mark per series."""

    names: tuple[str, ...]
    series: Mapping[str, Sequence[float]]  # each as long as `names`; NaN where there is none


def draw_norms(
    axes: Axes, ink: NormsInk, *, label: str | None = None, colour: str | None = None
) -> None:
    """Draw one row per tensor, or, for more than forty, the norms over depth.

    Colours tell the series apart, so `colour` counts only where there is a single series. Drawing
    again on the same axes overlays: the last answer is filled, those before it are hollow.
    """
    from landscape.figures import norm_axes

    norm_axes.draw(axes, ink, label, colour)
