"""How brackets are drawn: bars on a logarithmic axis, and bands over checkpoints."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.markers import CARETLEFT, CARETRIGHT
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from landscape.figures.bracket import BracketInk, BracketSeriesInk
from landscape.figures.style import (
    INK,
    MUTED,
    PALETTE,
    gathered,
    legend_above,
    nothing_to_draw,
    plain,
)

LOWER, UPPER = PALETTE[2], PALETTE[1]
LONGEST = 34  # characters of a checkpoint's name
ROW = 0.085  # height of a row, of the width
THIN = 0.26  # of a bar, of its row
SHORT = 1e3  # ratio of an axis' ends up to which 1, 2, 5 are written in full
NAMED = 14  # most checkpoints whose names are written


def draw(axes: Axes, ink: BracketInk, label: str | None, colour: str | None) -> None:
    """Draw the bracket of one more network on axes, under those drawn there before."""
    drawn: list[tuple[BracketInk, str | None, str | None]] = gathered(axes, (ink, label, colour))
    known = [x for one, _, _ in drawn for x in (one.lower, one.upper, one.product, one.at_data)]
    known = [x for x in known if math.isfinite(x) and x > 0]
    if not known:
        nothing_to_draw(axes, "no bound to draw")
        axes.set_xlabel("Lipschitz constant")
        return
    low, high = min(known), max(known)
    margin = max((high / low) ** 0.06, 1.25)
    low, high = low / margin, high * margin
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    for row, (one, _, hue) in enumerate(drawn):
        _row(axes, row, one, hue or PALETTE[0], low, high)
    names = [plain(answer or one.name, LONGEST) for one, answer, _ in drawn]
    axes.set_yticks([])
    for row, name in enumerate(names):
        axes.annotate(
            name,
            (0, row),
            xycoords=axes.get_yaxis_transform(),
            xytext=(-6, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=8,
        )
    axes.spines["left"].set_visible(False)
    axes.set_ylim(len(drawn) - 0.4, -0.6)
    axes.grid(axis="x")
    if high / low < SHORT:
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    else:
        axes.xaxis.set_major_locator(LogLocator(numticks=9))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(f"Lipschitz constant in ℓ₂ ({drawn[-1][0].domain})", parse_math=False)
    axes.set_box_aspect(max(ROW * len(drawn), 0.17))
    legend_above(axes, _key([one for one, _, _ in drawn]))


def _row(axes: Axes, row: int, ink: BracketInk, colour: str, low: float, high: float) -> None:
    """Draw a bar; where one side is not known it fades out at the edge with an arrow."""
    left = ink.lower if math.isfinite(ink.lower) and ink.lower > 0 else low
    right = ink.upper if math.isfinite(ink.upper) else high
    axes.barh(row, right - left, left=left, height=THIN, color=colour, alpha=0.22, linewidth=0)
    for value, marker in ((ink.lower, CARETRIGHT), (ink.upper, CARETLEFT)):  # the tip is there
        if math.isfinite(value) and value > 0:
            axes.plot(value, row, marker=marker, color=colour, markersize=8, linestyle="none")
    if math.isfinite(ink.at_data) and ink.at_data > 0:
        axes.plot(ink.at_data, row, "|", color=INK, markersize=11, markeredgewidth=1.3)
    if math.isfinite(ink.product):
        axes.plot(ink.product, row, "x", color=MUTED, markersize=6, markeredgewidth=1.3)
    if not math.isfinite(ink.upper):
        _told(axes, high, row, "no upper bound: refused ", "right")
    elif math.isfinite(ink.lower) and ink.lower > 0:
        ratio = ink.upper / ink.lower
        text = f"× {ratio:.3g}"
        _told(axes, math.exp((math.log(left) + math.log(right)) / 2), row, text, "center")


def _told(axes: Axes, x: float, row: int, text: str, side: str) -> None:
    axes.annotate(
        text,
        (x, row),
        xytext=(0, 8),
        textcoords="offset points",
        ha=side,
        va="bottom",
        fontsize=7.5,
        color=MUTED,
    )


def _key(drawn: list[BracketInk]) -> tuple[list[Artist], list[str]]:
    def mark(marker: Any, colour: str, size: float = 7) -> Line2D:
        return Line2D([], [], marker=marker, color=colour, linestyle="none", markersize=size)

    handles: list[Artist] = []
    labels: list[str] = []
    if any(math.isfinite(one.lower) for one in drawn):
        handles.append(mark(CARETRIGHT, MUTED))
        labels.append("attained")
    if any(math.isfinite(one.at_data) for one in drawn):
        handles.append(mark("|", INK, 9))
        labels.append("attained at samples")
    if any(math.isfinite(one.upper) for one in drawn):
        handles.append(mark(CARETLEFT, MUTED))
        labels.append("proved")
    if any(math.isfinite(one.product) for one in drawn):
        handles.append(mark("x", MUTED))
        labels.append("product of norms")
    return handles, labels


def draw_series(axes: Axes, ink: BracketSeriesInk) -> None:
    """Draw both sides over the checkpoints."""
    finite = np.concatenate([ink.lower, ink.upper])
    finite = finite[np.isfinite(finite) & (finite > 0)]
    if not len(finite):
        nothing_to_draw(axes, "no bound to draw")
        return
    axes.set_yscale("log")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.fill_between(ink.places, ink.lower, ink.upper, color=PALETTE[0], alpha=0.12, linewidth=0)
    for values, colour, marker in ((ink.upper, UPPER, "v"), (ink.lower, LOWER, "^")):
        axes.plot(ink.places, values, color=colour, marker=marker, markersize=4)
    axes.grid(axis="y")
    axes.set_ylabel(f"Lipschitz constant in ℓ₂\n({ink.domain})", parse_math=False)
    if ink.by_step:
        axes.set_xlabel("optimizer step")
    elif len(ink.names) <= NAMED:
        longest = max(6, 90 // len(ink.names))
        axes.set_xticks(ink.places, [plain(name, longest) for name in ink.names])
        axes.set_xlabel("checkpoint")
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("checkpoint, in order")
    handles: list[Artist] = [
        Line2D([], [], color=UPPER, marker="v", markersize=4),
        Line2D([], [], color=LOWER, marker="^", markersize=4),
        Patch(color=PALETTE[0], alpha=0.12),
    ]
    legend_above(axes, (handles, ["proved from above", "attained from below", "bracket"]))
