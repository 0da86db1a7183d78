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
    legend_above(axes, (handles, [plain(one.name, 40) for one in shown]))


def _trace(axes: Axes, one: Trace, colour: str, marker: str) -> None:
    places = np.arange(len(one.value))
    kept = one.value > 0  # NaN and zero have no place on a log axis
    low = np.where(one.lower[kept] > 0, one.lower[kept], one.value[kept] / 1e3)
    high = np.where(np.isfinite(one.upper[kept]), one.upper[kept], one.value[kept] * 1e3)
    axes.fill_between(places[kept], low, high, color=colour, alpha=0.15, linewidth=0)
    size = 4 if len(places) <= 2 * NAMED else 2
    axes.plot(places[kept], one.value[kept], color=colour, linewidth=1.2)
    for bound, face in ((False, colour), (True, "white")):
        chosen = kept & (one.bound.astype(bool) == bound)
        axes.plot(
            places[chosen],
            one.value[chosen],
            marker,
            color=colour,
            markerfacecolor=face,
            markersize=size,
        )


def _scale(axes: Axes, shown: list[Trace], level: float | None) -> None:
    """Show every value, and of bands up to thrice the largest; over a decade on a log axis."""
    values = np.concatenate([one.value[one.value > 0] for one in shown])
    ends = np.concatenate([one.upper[one.value > 0] for one in shown])
    values = np.append(values, ends[np.isfinite(ends) & (ends < 3 * values.max())])
    values = np.append(values, [] if level is None else level)
    low, high = float(values.min()), float(values.max())
    if high < DECADE * low:
        axes.set_ylim(0, 1.08 * high)
        return
    margin = max((high / low) ** 0.06, 1.3)
    axes.set_yscale("log")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(low / margin, high * margin)


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
