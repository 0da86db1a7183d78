"""How quantities along layers or checkpoints are drawn."""

from __future__ import annotations

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullFormatter

from landscape.figures.profile import ProfileInk, Trace
from landscape.figures.style import MUTED, PALETTE, legend_above, nothing_to_draw, plain

MARKERS = ("o", "s", "^", "D")
DECADE = 10.0  # ratio of the values from which on the axis is logarithmic
NAMED = 32  # most places whose names are written
LETTERS = 60  # in all names together, from which on they are turned
LONGEST = 22  # characters of a name


def draw(axes: Axes, ink: ProfileInk) -> None:
    """Draw the quantities on empty axes."""
    shown = [one for one in ink.traces if bool((one.value > 0).any())]
    if not shown:
        nothing_to_draw(axes, "no positive number to draw")
        return
    for place, one in enumerate(shown):
        _trace(axes, one, PALETTE[place % len(PALETTE)], MARKERS[place % len(MARKERS)])
    _scale(axes, shown, ink.level)
    if ink.level is not None:
        axes.axhline(ink.level, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0.9)
    axes.grid(axis="y")
    axes.set_ylabel(plain(ink.quantity))
    _name_places(axes, ink)
    handles: list[Artist] = [
        Line2D([], [], color=PALETTE[n % len(PALETTE)], marker=MARKERS[n % len(MARKERS)], ms=4)
        for n in range(len(shown))
    ]
    names = [plain(one.name, 40) for one in shown]
    for side, sign, told in ((1, "$\\uparrow$", "at least"), (-1, "$\\downarrow$", "at most")):
        if any((one.bound[one.value > 0] == side).any() for one in shown):
            handles.append(Line2D([], [], color=MUTED, marker=sign, linestyle="none", ms=7))
            names.append(told)
    legend_above(axes, (handles, names))


def _trace(axes: Axes, one: Trace, colour: str, marker: str) -> None:
    places = np.arange(len(one.value))
    kept = one.value > 0  # NaN and zero have no place on a log axis
    low = np.where(one.lower[kept] > 0, one.lower[kept], one.value[kept] / 1e3)
    high = np.where(np.isfinite(one.upper[kept]), one.upper[kept], one.value[kept] * 1e3)
    sure = one.bound[kept] == 0
    axes.fill_between(places[kept], low, high, where=sure, color=colour, alpha=0.15, linewidth=0)
    size = 4 if len(places) <= 2 * NAMED else 2
    drawn = np.where(kept & (one.bound == 0), one.value, np.nan)
    axes.plot(places, drawn, color=colour, linewidth=1.2, marker=marker, markersize=size)
    _bounds(axes, places, np.where(kept, one.value, np.nan), one.bound, colour)


def _bounds(
    axes: Axes, places: np.ndarray, value: np.ndarray, bound: np.ndarray, colour: str
) -> None:
    """Draw a bar where a bound lies, and an arrow to the side on which the quantity is."""
    for side in (1, -1):
        for place in np.flatnonzero((bound == side) & np.isfinite(value)):
            axes.plot(places[place], value[place], "_", color=colour, markersize=11)
            axes.annotate(
                "",
                (places[place], value[place]),
                xytext=(0, 16 * side),
                textcoords="offset points",
                arrowprops={"arrowstyle": "<-", "color": colour, "linewidth": 1.1, "shrinkB": 0},
            )


def _scale(axes: Axes, shown: list[Trace], level: float | None) -> None:
    """Show every value, and of bands up to thrice the largest; over a decade on a log axis."""
    values = np.concatenate([one.value[one.value > 0] for one in shown])
    ends = np.concatenate([one.upper[one.value > 0] for one in shown])
    values = np.append(values, ends[np.isfinite(ends) & (ends < 3 * values.max())])
    values = np.append(values, _heads(shown))
    values = np.append(values, [] if level is None else level)
    low, high = float(values.min()), float(values.max())
    if high < DECADE * low:
        axes.set_ylim(0, 1.08 * high)
        return
    margin = max((high / low) ** 0.06, 1.3)
    axes.set_yscale("log")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(low / margin, high * margin)


def _heads(shown: list[Trace]) -> np.ndarray:
    """Return about where the arrows of bounds end."""
    return np.concatenate([(one.value * 1.5**one.bound)[one.value > 0] for one in shown])


def _name_places(axes: Axes, ink: ProfileInk) -> None:
    count = len(ink.names)
    axes.set_xlim(-0.5, count - 0.5)
    axes.set_xlabel(plain(ink.along))
    if count > NAMED:
        axes.set_xlabel(f"{plain(ink.along)}, first to last of {count}")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
        return
    names = [plain(name, LONGEST) for name in ink.names]
    turned = sum(map(len, names)) > LETTERS
    axes.set_xticks(
        range(count),
        names,
        rotation=45 if turned else 0,
        ha="right" if turned else "center",
        rotation_mode="anchor" if turned else "default",
        fontsize=7 if turned else 8,
    )
