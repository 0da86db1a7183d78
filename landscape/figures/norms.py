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
    """Draw one row per tensor."""
    for name, values in ink.series.items():
        axes.plot(values, range(len(values)), "o", label=name, color=colour)
    axes.set_xscale("log")
