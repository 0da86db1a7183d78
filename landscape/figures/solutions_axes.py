"""How several networks are drawn."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from landscape.figures.solutions import AlikeInk, SolutionsInk
from landscape.figures.style import (
    INK,
    MUTED,
    PALETTE,
    gathered,
    legend_above,
    nothing_to_draw,
    plain,
)

LONGEST = 22  # characters of a name
NAMED = 10  # most networks that a legend names
MARKS = "oDs^vPX<>*"
DARK = 0.1  # share at which a colour may be full: smaller ones stay pale
DECADE = 3.0  # ratio of the largest to the smallest, from which an axis is logarithmic
_ABOVE = LinearSegmentedColormap.from_list("above", ["#ffffff", "#f2c6a0", "#d55e00"])
_BELOW = LinearSegmentedColormap.from_list("below", ["#ffffff", "#9ecae9", "#0072b2"])


def draw(axes: Axes, ink: SolutionsInk, label: str | None, colour: str | None) -> None:
    """Draw the networks, those of answers that are there already included."""
    answers = gathered(axes, (ink, label, colour))
    handles: list[Artist] = []
    names: list[str] = []
    across: list[float] = []
    for drawn, told, given in answers:
        hue = given if told is not None else None  # alone, every network has a colour of its own
        across += _put(axes, drawn, hue)
        if told is not None:
            handles.append(Line2D([], [], color=hue or INK, marker="o", linestyle="none"))
            names.append(plain(told, LONGEST))
        elif len(drawn.names) <= NAMED:
            handles += [_handle(number, hue) for number in range(len(drawn.names))]
            names += [plain(name, LONGEST) for name in drawn.names]
    axes.set_xlabel(ink.quantity)
    axes.set_ylabel(ink.judged)
    if not across:
        nothing_to_draw(axes, "no network has finite numbers")
        axes.set_xlabel(label or ink.quantity, parse_math=False)
        return
    if min(across) > 0 and max(across) > DECADE * min(across):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid()
    legend_above(axes, *_rows(handles, names))


def _put(axes: Axes, ink: SolutionsInk, colour: str | None) -> list[float]:
    """Draw the networks of one answer, and return where they lie along the horizontal axis."""
    found = []
    for number, (x, y) in enumerate(zip(ink.across, ink.up, strict=True)):
        if not (math.isfinite(x) and math.isfinite(y)):
            continue
        own = colour or PALETTE[number % len(PALETTE)]
        wide, high = _finite(ink.across_ends[number], x), _finite(ink.up_ends[number], y)
        axes.plot(wide, [y, y], color=own, linewidth=1.0, alpha=0.7)
        axes.plot([x, x], high, color=own, linewidth=1.0, alpha=0.7)
        axes.plot(x, y, MARKS[number % len(MARKS)], color=own, markersize=6.5)
        found.append(x)
    return found


def _handle(number: int, colour: str | None) -> Line2D:
    own = colour or PALETTE[number % len(PALETTE)]
    mark = MARKS[number % len(MARKS)]
    return Line2D([], [], color=own, marker=mark, linestyle="none")


def _finite(ends: tuple[float, float], value: float) -> list[float]:
    return [end if math.isfinite(end) else value for end in ends]


def _rows(handles: list[Artist], names: list[str]) -> list[tuple[list[Artist], list[str]]]:
    """Return the entries of a legend, five in a row."""
    return [
        (handles[start : start + 5], names[start : start + 5]) for start in range(0, len(names), 5)
    ]


def matrix(axes: Axes, ink: AlikeInk) -> None:
    """Draw the matrix on empty axes."""
    count = len(ink.names)
    sides = zip((ink.above, ink.below), (_ABOVE, _BELOW), ink.shares, strict=True)
    for values, colours, share in sides:
        finite = values[np.isfinite(values)]
        least = DARK if share else 1e-12
        top = max(float(finite.max()), least) if finite.size else 1.0
        shown = np.ma.masked_invalid(np.clip(values, 0, None))
        axes.imshow(shown, cmap=colours, vmin=0, vmax=1.25 * top, aspect="auto")
    for row in range(count):
        for column in range(count):
            side = 0 if column > row else 1
            value = (ink.above, ink.below)[side][row, column]
            if row != column and math.isfinite(value):
                text = f"{value:.1%}" if ink.shares[side] else f"{value:.2g}"
                axes.text(column, row, text, ha="center", va="center", fontsize=7.5, color=INK)
    for place in range(count):
        axes.text(place, place, "·", ha="center", va="center", color=MUTED)
    names = [plain(name, LONGEST) for name in ink.names]
    axes.set_xticks(range(count), names, rotation=30, ha="right")
    axes.set_yticks(range(count), names)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_box_aspect(min(max(0.09 * count, 0.35), 1.0))
    axes.set_xlabel(f"above the diagonal: {ink.above_told}; below: {ink.below_told}")
