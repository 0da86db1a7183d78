"""How the loss on a plane through weight space is drawn."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from landscape.figures.style import INK, PALETTE, legend_above, nothing_to_draw, plain
from landscape.figures.weight_plane import PlaneInk

LEVELS = 12
HIGHEST = 0.9  # quantile of the losses from which on everything has the last colour


def draw(axes: Axes, ink: PlaneInk) -> None:
    """Draw one plane on empty axes; the levels are even in the logarithm above the least loss."""
    if not ink.drawable:
        nothing_to_draw(axes, "no finite loss to draw")
        return
    finite = ink.loss[np.isfinite(ink.loss)]
    low, high = float(finite.min()), float(np.quantile(finite, HIGHEST))
    span = max(high - low, 1e-12)
    levels = low + np.geomspace(span / 100, span, LEVELS) - span / 100
    shown = np.ma.masked_invalid(ink.loss)
    axes.contourf(ink.x, ink.y, shown, levels=levels, cmap="Blues", extend="max", alpha=0.85)
    lines = axes.contour(ink.x, ink.y, shown, levels=levels[2::3], colors=INK, linewidths=0.5)
    axes.clabel(lines, fmt="%.2g", fontsize=6.5)
    a, bend, b = ink.corners
    axes.plot(*np.stack((a, b)).T, color=PALETTE[1], linewidth=1.2)
    axes.plot(*ink.path.T, color=PALETTE[2], linewidth=1.6)
    for place, name, marker in zip((a, bend, b), ink.names, "oDo", strict=True):
        axes.plot(*place, marker, color=INK, markersize=5)
        axes.annotate(plain(name, 20), place, xytext=(5, 5), textcoords="offset points", fontsize=8)
    axes.set_xlabel("distance along A to B")
    axes.set_ylabel("distance towards the bend")
    axes.set_box_aspect(0.75)
    keys = [Line2D([], [], color=PALETTE[1]), Line2D([], [], color=PALETTE[2])]
    legend_above(axes, (keys, ["line", "curve"]))
