"""How norms are drawn: as rows of dots, or, where the tensors are many, over depth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

from landscape.figures.norms import NormsInk
from landscape.figures.style import (
    GRID,
    MUTED,
    PALETTE,
    gathered,
    legend_above,
    nothing_to_draw,
    plain,
)

ROWS = 40  # more tensors than that are drawn over depth instead
DECADES = 300.0  # ratio of the norms from which on only powers of ten are marked
MOST_TICKS = 8  # of powers of ten
LONGEST = 34  # characters of a tensor's name
MARKERS = ("o", "s", "^", "D", "v", "P")
EARLIER = (0, (3, 2))  # the dashes of answers before the last


@dataclass(frozen=True)
class _Column:
    """One series of one answer."""

    name: str
    rows: np.ndarray  # (r,), the row of each value
    values: np.ndarray  # (r,)
    colour: str
    marker: str
    size: float  # of the marker
    last: bool  # of the answers that are overlaid

    @property
    def style(self) -> dict[str, Any]:
        """Return how its dots look: filled for the last answer, hollow for those before."""
        face = self.colour if self.last else "none"
        edge = 0.0 if self.last else 1.0
        return {"color": self.colour, "markerfacecolor": face, "markeredgewidth": edge}


def draw(axes: Axes, ink: NormsInk, label: str | None, colour: str | None) -> None:
    """Draw the norms of one more answer on axes, with those drawn there before."""
    drawn: list[tuple[NormsInk, str | None, str | None]] = gathered(axes, (ink, label, colour))
    names = list(dict.fromkeys(name for one, _, _ in drawn for name in one.names))
    columns = [
        column
        for turn, (one, _, hue) in enumerate(drawn)
        for column in _columns(one, names, hue, last=turn == len(drawn) - 1)
    ]
    values = np.concatenate([c.values[np.isfinite(c.values)] for c in columns] or [np.zeros(0)])
    if not values.size:
        nothing_to_draw(axes, "no finite norm to draw")
        return
    rows = len(names) <= ROWS
    zeros = bool((values <= 0).any())
    low, high = _ends(values)
    edge = low / max((high / low) ** 0.08, 1.3)
    (_draw_rows if rows else _draw_depth)(axes, names, columns, edge)
    _scale(axes, edge if zeros else low, high, vertical=not rows)
    answers = [answer for _, answer, _ in drawn if answer is not None]
    legend_above(axes, *_keys(columns, answers, rows=rows, zeros=zeros))


def _columns(ink: NormsInk, names: list[str], colour: str | None, *, last: bool) -> list[_Column]:
    place = {name: number for number, name in enumerate(names)}
    alone = colour if len(ink.series) == 1 else None
    return [
        _Column(
            name=name,
            rows=np.array([place[tensor] for tensor in ink.names]),
            values=np.asarray(values, dtype=np.float64),
            colour=alone or PALETTE[index % len(PALETTE)],
            marker=MARKERS[index % len(MARKERS)],
            size=max(7.0 - 1.5 * index, 4.0),  # equal norms of two series are both seen
            last=last,
        )
        for index, (name, values) in enumerate(ink.series.items())
    ]


def _ends(values: np.ndarray) -> tuple[float, float]:
    """Return the smallest and the largest positive norm."""
    positive = values[values > 0]
    return (float(positive.min()), float(positive.max())) if positive.size else (1.0, 1.0)


def _draw_rows(axes: Axes, names: list[str], columns: list[_Column], edge: float) -> None:
    """Draw one row per tensor; a norm of zero becomes an arrow at the edge."""
    axes.hlines(range(len(names)), 0, 1, color=GRID, lw=0.6, transform=axes.get_yaxis_transform())
    for one in columns:
        zero = one.values <= 0
        style: dict[str, Any] = {"linestyle": "none", "clip_on": False, **one.style}
        axes.plot(
            one.values[~zero], one.rows[~zero], marker=one.marker, markersize=one.size, **style
        )
        if zero.any():
            axes.plot(np.full(zero.sum(), edge), one.rows[zero], marker="<", markersize=6, **style)
    axes.set_yticks(range(len(names)), [plain(name, LONGEST) for name in names])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlabel("norm")
    axes.set_box_aspect(max(0.034 * len(names), 0.12))


def _draw_depth(axes: Axes, names: list[str], columns: list[_Column], edge: float) -> None:
    """Draw the median of each bin of neighbouring tensors, with the smallest and the largest."""
    for one in columns:
        each = math.ceil(len(one.rows) / ROWS)
        bins = np.array_split(np.argsort(one.rows), math.ceil(len(one.rows) / each))
        centres = [float(one.rows[part].mean()) + 1 for part in bins]
        values = np.where(one.values <= 0, edge, one.values)
        spread = np.array([_spread(values[part]) for part in bins])
        alpha, dashes = (0.15, "-") if one.last else (0.06, EARLIER)
        axes.fill_between(centres, spread[:, 0], spread[:, 2], color=one.colour, alpha=alpha, lw=0)
        axes.plot(centres, spread[:, 1], color=one.colour, linestyle=dashes, linewidth=1.3)
    axes.set_xlim(0, len(names) + 1)
    axes.grid(axis="y")
    axes.set_xlabel(
        f"tensor, first to last of {len(names)} (line: median of neighbours, band: all)"
    )
    axes.set_ylabel("norm")


def _spread(values: np.ndarray) -> tuple[float, float, float]:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return float("nan"), float("nan"), float("nan")
    return float(finite.min()), float(np.median(finite)), float(finite.max())


def _scale(axes: Axes, low: float, high: float, *, vertical: bool) -> None:
    """Make an axis logarithmic, from tick to tick; over few decades these are plain numbers."""
    axis = axes.yaxis if vertical else axes.xaxis
    margin = max((high / low) ** 0.04, 1.1)
    ticks = _ticks(low, high)
    ends = min(low / margin, ticks[0]), max(high * margin, ticks[-1])
    (axes.set_yscale if vertical else axes.set_xscale)("log")
    (axes.set_ylim if vertical else axes.set_xlim)(*ends)
    axis.set_major_locator(FixedLocator(ticks))
    if high / low < DECADES:
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _ticks(low: float, high: float) -> list[float]:
    """Return round numbers of which the first is at most `low` and the last at least `high`."""
    ratio = high / low
    leading = (1, 2, 3, 4, 6, 8) if ratio < 10 else (1, 2, 5) if ratio < DECADES else (1,)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    stride = math.ceil((last - first) / MOST_TICKS) if len(leading) == 1 else 1
    powers = range(first, last + stride, max(stride, 1))
    numbers = [float(f"{digit}e{power}") for power in powers for digit in leading]
    numbers = [one for one in numbers if 0 < one < math.inf]
    below = [one for one in numbers if one <= low][-1:]
    above = [one for one in numbers if one >= high][:1]
    inside = [one for one in numbers if low < one < high]
    return sorted({*below, *inside, *above}) or [low]


def _keys(
    columns: list[_Column], answers: list[str], *, rows: bool, zeros: bool
) -> tuple[tuple[list[Artist], list[str]], ...]:
    """Return handles and labels in two rows: the answers by fill, then the series by colour."""
    handles: list[Artist] = []
    labels: list[str] = []
    for one in (column for column in columns if column.last):
        dot: dict[str, Any] = {"marker": one.marker, "linestyle": "none", "markersize": one.size}
        handles.append(Line2D([], [], **one.style, **(dot if rows else {})))
        labels.append(one.name)
    if zeros and rows:
        handles.append(Line2D([], [], color=MUTED, marker="<", linestyle="none", markersize=6))
        labels.append("exactly 0")
    named: list[Artist] = []
    for turn in range(len(answers)):
        last = turn == len(answers) - 1
        face = {"markerfacecolor": MUTED if last else "none", "markersize": 5}
        dot = {"marker": "o", "linestyle": "none", **face}
        line: dict[str, Any] = {"linestyle": "-" if last else EARLIER}
        named.append(Line2D([], [], color=MUTED, **(dot if rows else line)))
    return (named, answers), (handles, labels)
