"""How a table of coloured cells is drawn."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.patches import Rectangle

from landscape.figures.canvas import WIDTH
from landscape.figures.layers import LayersInk
from landscape.figures.style import MUTED, nothing_to_draw, plain

MOST_ROWS = 48  # beyond which neighbouring layers share a row
ROW = 0.21  # inches
NARROW_ROW = 0.10  # inches, of a row without numbers
WRITTEN = 28  # most rows with numbers
LEAST_SHARE = 0.25  # that a scale of shares reaches up to
DECADES = 6.0  # of a logarithmic scale: what is smaller is as pale as can be

# inks of the cells themselves, the same on light and dark pages
_DARK, _LIGHT = "#1b1f23", "#fdfdfd"
_POSITIVE = LinearSegmentedColormap.from_list("curved up", ["#f4f8fb", "#7fb3d5", "#0b4f80"])
_NEGATIVE = LinearSegmentedColormap.from_list("curved down", ["#fdf5ef", "#eda67a", "#9c3f00"])


def draw(axes: Axes, ink: LayersInk) -> None:
    """Draw the table on empty axes."""
    rows = min(len(ink.names), MOST_ROWS)
    if not rows or not ink.columns:
        nothing_to_draw(axes, "no layers to draw")
        return
    groups = np.array_split(np.arange(len(ink.names)), rows)
    written = rows <= WRITTEN
    for place, (title, values) in enumerate(ink.columns.items()):
        cells = np.array([_heaviest(values[group]) for group in groups])
        _column(axes, place, cells, share=title in ink.shares, written=written)
    _lay_out(axes, ink, groups, ROW if written else NARROW_ROW)


def _heaviest(values: np.ndarray) -> float:
    """Return the value of largest size: what layers that share a row are shown by."""
    finite = values[np.isfinite(values)]
    return float(finite[np.argmax(np.abs(finite))]) if len(finite) else math.nan


def _column(axes: Axes, place: int, cells: np.ndarray, *, share: bool, written: bool) -> None:
    for row, (value, tone) in enumerate(zip(cells, _tones(cells, share=share), strict=True)):
        colours = _NEGATIVE if value < 0 else _POSITIVE
        axes.add_patch(
            Rectangle((place + 0.02, row + 0.04), 0.96, 0.92, color=to_hex(colours(tone)), lw=0)
        )
        if written:
            axes.text(
                place + 0.5,
                row + 0.52,
                _number(value, share=share),
                ha="center",
                va="center",
                fontsize=7.5,
                color=_LIGHT if tone > 0.6 else _DARK,
            )


def _tones(cells: np.ndarray, *, share: bool) -> np.ndarray:
    """Return 0 … 1 for each cell: on a linear scale for shares, else on that of the logarithm."""
    size = np.nan_to_num(np.abs(cells))
    if share:
        return np.clip(size / max(float(size.max()), LEAST_SHARE), 0, 1) * 0.9
    if not size.any():
        return np.zeros(len(size))
    with np.errstate(divide="ignore"):
        height = np.log10(size)
    top = float(height.max())
    bottom = max(float(height[np.isfinite(height)].min()), top - DECADES)
    extent = max(top - bottom, 0.5)
    return np.clip(1 - (top - height) / extent, 0, 1) * 0.9 + 0.05


def _number(value: float, *, share: bool) -> str:
    if not math.isfinite(value):
        return "–"
    if share:
        return "<0.1%" if 0 < value < 0.0005 else f"{value:.1%}"
    return f"{value:.2g}".replace("-", "−")


def _lay_out(axes: Axes, ink: LayersInk, groups: list[np.ndarray], row: float) -> None:
    rows, columns = len(groups), len(ink.columns)
    axes.set_xlim(0, columns)
    axes.set_ylim(rows, 0)
    axes.set_box_aspect(rows * row / (WIDTH * 0.75))
    axes.xaxis.tick_top()
    axes.set_xticks(np.arange(columns) + 0.5, list(ink.columns))
    axes.set_yticks(
        np.arange(rows) + 0.5,
        [_label(ink, group) for group in groups],
        fontsize=8 if row == ROW else 6,
    )
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.xaxis.set_tick_params(labelcolor=MUTED)


def _label(ink: LayersInk, group: np.ndarray) -> str:
    first, last = ink.names[group[0]], ink.names[group[-1]]
    count = int(ink.parameters[group].sum())
    name = plain(first, 26) if len(group) == 1 else f"{plain(first, 14)} … {plain(last, 14)}"
    return f"{name}  ({count:,})"
