"""How paths between two networks are drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullFormatter, PercentFormatter

from landscape.figures.connection import Along, ConnectionInk
from landscape.figures.style import MUTED, PALETTE, gathered, legend_above, nothing_to_draw, plain

WIDE = 100.0  # ratio of what is shown from which on the axis is logarithmic

# each path has a colour of its own in one answer, and dashes of its own among several
COLOURS = {"line": PALETTE[1], "aligned": PALETTE[0], "curve": PALETTE[2], "repaired": PALETTE[3]}
DASHES: dict[str, Any] = {
    "line": "-",
    "aligned": (0, (6, 1.5)),
    "curve": (0, (1, 1.2)),
    "repaired": (0, (4, 1.5, 1, 1.5)),
}

Drawn = tuple[ConnectionInk, str | None, str | None]
Key = tuple[list[Artist], list[str]]


def draw(axes: Axes, ink: ConnectionInk, label: str | None, colour: str | None) -> None:
    """Draw one more pair on axes, with those drawn there before."""
    drawn: list[Drawn] = gathered(axes, (ink, label, colour))
    shown = [one for one in drawn if one[0].shown]
    if not shown:
        nothing_to_draw(axes, f"no finite {ink.quantity} to draw")
        return
    several = len(drawn) > 1
    for one, _, hue in shown:
        for path in one.shown:
            _path(axes, path, _colour(path, hue, several=several), dashed=several)
        _tolerated(axes, one)
    _lay_out(axes, [one for one, _, _ in shown])
    legend_above(axes, *_keys(shown, several=several))


def _colour(path: Along, hue: str | None, *, several: bool) -> str:
    own = COLOURS.get(path.name, PALETTE[4])
    return hue or own if several else own


def _path(axes: Axes, path: Along, colour: str, *, dashed: bool) -> None:
    """Draw one path with its band and, in an answer by itself, the points that were computed."""
    axes.fill_between(
        path.t, path.lower, path.upper, color=colour, alpha=0.16, linewidth=0, zorder=1.5
    )
    style = DASHES.get(path.name, "-") if dashed else "-"
    axes.plot(path.t, path.value, color=colour, linestyle=style)
    if not dashed:
        axes.plot(path.t, path.value, "o", color=colour, markersize=2.4)


def _tolerated(axes: Axes, ink: ConnectionInk) -> None:
    """Draw the straight line between the ends, and the tolerance above it."""
    first = ink.shown[0]
    ends = np.array([first.value[0], first.value[-1]])
    axes.plot([0, 1], ends, color=MUTED, linewidth=0.9, linestyle=(0, (2, 2)), zorder=1)
    if np.isfinite(ink.tolerance):
        limit = ends + ink.tolerance
        axes.plot([0, 1], limit, color=MUTED, linewidth=1.1, zorder=1)


def _lay_out(axes: Axes, inks: list[ConnectionInk]) -> None:
    values = np.concatenate([path.value for ink in inks for path in ink.shown])
    values = values[np.isfinite(values)]
    if inks[0].quantity == "error":
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    elif (values > 0).all() and values.max() > WIDE * values.min():
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_ylim(bottom=float(values.min()) / 1.5)
    axes.grid(axis="y")
    axes.set_xlim(-0.01, 1.01)
    ends = dict.fromkeys(ink.ends for ink in inks)
    axes.set_xlabel("place t on the path")
    if len(ends) == 1:
        a, b = (plain(end, 24) for end in next(iter(ends)))
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], [f"0\n{a}", "0.25", "0.5", "0.75", f"1\n{b}"])
    axes.set_ylabel(inks[0].quantity)


def _keys(shown: list[Drawn], *, several: bool) -> tuple[Key, Key]:
    """Return handles and labels in two rows: answers or paths, then what the marks mean."""
    handles: list[Artist] = []
    names: list[str] = []
    if several:
        for _, label, hue in shown:
            handles.append(Line2D([], [], color=hue or PALETTE[0]))
            names.append(label or "")
    else:
        ink, label, _ = shown[0]
        for path in ink.shown:
            handles.append(Line2D([], [], color=COLOURS.get(path.name, PALETTE[4])))
            names.append(f"{path.name}: {path.told}" if path.told else path.name)
        if label is not None:
            handles.insert(0, Line2D([], [], linestyle="none"))
            names.insert(0, label)
    marks: list[Artist] = []
    meanings: list[str] = []
    if several:
        paths = dict.fromkeys(path.name for ink, _, _ in shown for path in ink.shown)
        for name in paths:
            marks.append(Line2D([], [], color=MUTED, linestyle=DASHES.get(name, "-")))
            meanings.append(name)
    marks += [
        Patch(color=MUTED, alpha=0.3, linewidth=0),
        Line2D([], [], color=MUTED, linewidth=0.9, linestyle=(0, (2, 2))),
    ]
    meanings += ["band", "between ends"]
    if np.isfinite([ink.tolerance for ink, _, _ in shown]).any():
        marks.append(Line2D([], [], color=MUTED, linewidth=1.1))
        meanings.append("tolerated")
    return (handles, names), (marks, meanings)
