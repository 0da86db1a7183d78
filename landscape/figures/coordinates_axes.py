"""How a coordinate check is drawn."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from landscape.figures.coordinates import CurvesInk, ExponentsInk
from landscape.figures.panels import side_by_side
from landscape.figures.style import (
    GRID,
    MUTED,
    PALETTE,
    gathered,
    legend_above,
    nothing_to_draw,
    plain,
)

Drawn = tuple[ExponentsInk, str | None, str]  # ink, label, colour

ROWS = 16  # most modules that are drawn
ROW = 0.045  # height of a row, of the width of the axes
SPREAD = 0.5  # of a row, that several answers share
LONGEST = 26  # characters of a module's name
MAP = "viridis"
CROWDED = 5  # widths from which on their numbers are turned


def draw(axes: Axes, ink: ExponentsInk, label: str | None, colour: str | None) -> None:
    """Draw one more answer on axes, with those drawn there before."""
    drawn: list[Drawn] = gathered(axes, (ink, label, colour or PALETTE[0]))
    names = _chosen(drawn)
    if not names:
        nothing_to_draw(axes, "no module gave an activation")
        return
    axes.axvspan(-ink.tolerance, ink.tolerance, color=GRID, linewidth=0, zorder=0.5)
    axes.axvline(0, color=MUTED, linewidth=0.6, zorder=0.8)
    for row in range(1, len(names)):
        axes.axhline(row - 0.5, color=GRID, linewidth=0.6, zorder=0.6)
    for number, (one, _, hue) in enumerate(drawn):
        offset = (number - (len(drawn) - 1) / 2) * SPREAD / max(len(drawn) - 1, 1)
        for row, name in enumerate(names):
            if name in one.names:
                _row(axes, one, one.names.index(name), row + offset, hue)
    axes.set_yticks(range(len(names)), [plain(name, LONGEST) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.set_box_aspect(max(0.28, ROW * len(names)))
    axes.set_xlabel("slope in ln(width)")
    _key(axes, drawn)


def _chosen(drawn: list[Drawn]) -> list[str]:
    """Return the modules that are drawn: of many, those whose slopes are farthest from zero."""
    reach: dict[str, float] = {}
    for ink, _, _ in drawn:
        for i, name in enumerate(ink.names):
            slopes = np.abs(np.append(ink.changes[i], ink.sizes[i]))
            most = float(np.nanmax(np.nan_to_num(slopes, nan=0.0)))
            reach[name] = max(reach.get(name, 0.0), most)
    kept = set(sorted(reach, key=lambda name: -reach[name])[:ROWS])
    return [name for name in reach if name in kept]


def _row(axes: Axes, ink: ExponentsInk, module: int, height: float, colour: str) -> None:
    """Draw one module: the interval that decides, the slopes of every step, the size."""
    low, high = ink.intervals[module]
    if np.isfinite([low, high]).all():
        axes.plot([low, high], [height] * 2, color=colour, linewidth=3.2, alpha=0.3)
    steps = ink.changes.shape[1]
    for step in range(steps):
        shade = 0.35 + 0.65 * (step + 1) / steps
        axes.plot(ink.changes[module, step], height, "o", color=colour, alpha=shade, markersize=4)
    axes.plot(
        ink.sizes[module],
        height,
        "D",
        markerfacecolor="none",
        markeredgecolor=colour,
        markersize=4.5,
    )


def _key(axes: Axes, drawn: list[Drawn]) -> None:
    named = [(label, hue) for _, label, hue in drawn if label is not None]
    hue = MUTED if len(drawn) > 1 else drawn[0][2]
    marks: list[Artist] = [
        Line2D([], [], color=hue, marker="o", markersize=4, linestyle="none"),
        Line2D([], [], color=hue, linewidth=3.2, alpha=0.3),
        Line2D([], [], color=hue, marker="D", markerfacecolor="none", linestyle="none"),
        Patch(color=GRID, linewidth=0),
    ]
    meanings = ["change, by step", "interval", "size at start", "passes as zero"]
    lines: list[Artist] = [Line2D([], [], color=hue, marker="o") for _, hue in named]
    legend_above(axes, (lines, [label for label, _ in named]), (marks, meanings))


def draw_curves(axes: Axes, ink: CurvesInk) -> None:
    """Draw sizes and changes on two panels of empty axes."""
    panels = side_by_side(axes, 2, gap=0.14)
    told = (("E|x|", ink.size), ("E|x(t) − x(0)|", ink.change))
    for panel, (name, values) in zip(panels, told, strict=True):
        _curves(panel, ink, values)
        panel.set_ylabel(f"{name} at t = {ink.step}")
    failing = [i for i in range(len(ink.names)) if ink.failing[i]]
    shown = failing[:3] or [0, len(ink.names) - 1]
    handles: list[Artist] = [_line(ink, i) for i in shown]
    legend_above(axes, (handles, [plain(ink.names[i], LONGEST) for i in shown]))


def _curves(panel: Axes, ink: CurvesInk, values: np.ndarray) -> None:
    for i, curve in enumerate(values):
        if (np.isfinite(curve) & (curve > 0)).any():
            line = _line(ink, i)
            panel.plot(ink.widths, curve, color=line.get_color(), linestyle=line.get_linestyle())
            panel.plot(ink.widths, curve, "o", color=line.get_color(), markersize=2.4)
    panel.set_xscale("log")
    panel.set_yscale("log")
    turn = 45 if len(ink.widths) > CROWDED else 0
    panel.set_xticks(ink.widths, [f"{width:g}" for width in ink.widths], rotation=turn)
    panel.xaxis.set_minor_locator(NullLocator())
    low, high = panel.get_ylim()
    panel.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 60 * low else (1.0,)))
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.yaxis.set_minor_formatter(NullFormatter())
    panel.grid(axis="y")
    panel.set_xlabel("width")


def _line(ink: CurvesInk, module: int) -> Line2D:
    """Return the line of a module: coloured by its place, dashed where it fails."""
    place = module / max(len(ink.names) - 1, 1)
    colour = to_hex(colormaps[MAP](0.85 * place))
    return Line2D([], [], color=colour, linestyle=(0, (5, 2)) if ink.failing[module] else "-")
