"""How densities of layers and overlaps of masks are drawn."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, PercentFormatter

from landscape.figures.style import (
    GRID,
    INK,
    MUTED,
    PALETTE,
    gathered,
    legend_above,
    nothing_to_draw,
    plain,
)
from landscape.figures.tickets import AlikeInk, DensityInk, OverlapInk

ROWS = 40  # more layers than that are drawn over depth
LONGEST = 34  # characters of a layer's name
NAME = 22  # characters of a mask's name
NUMBERED = 12  # most masks whose overlaps are written into the cells
DOTTED = (0, (1, 1.2))
EARLIER = (0, (3, 2))  # the dashes of answers before the last


def layers(axes: Axes, ink: DensityInk, label: str | None, colour: str | None) -> None:
    """Draw the densities of one more answer, with those drawn there before."""
    drawn: list[tuple[DensityInk, str | None, str | None]] = gathered(axes, (ink, label, colour))
    names = list(dict.fromkeys(name for one, _, _ in drawn for name in one.names))
    shares = [part[part > 0] for one, _, _ in drawn for part in _shares(one)]
    positive = np.concatenate([*shares, np.ones(1)])
    edge = float(positive.min()) / max(float(positive.min()) ** -0.08, 1.3)
    rows = len(names) <= ROWS
    place = {name: number for number, name in enumerate(names)}
    for turn, (one, _, hue) in enumerate(drawn):
        last = turn == len(drawn) - 1
        hues = (hue or PALETTE[0], PALETTE[1] if len(drawn) == 1 else hue or PALETTE[0])
        at = np.array([place[name] for name in one.names], dtype=float)
        _density(axes, one, at, hues, edge=edge, rows=rows, last=last)
    _name_rows(axes, names, rows=rows)
    _density_axis(axes, edge, "share of the layer's weights that is kept", rows=rows)
    _density_key(axes, drawn, rows=rows)


def _shares(ink: DensityInk) -> tuple[np.ndarray, ...]:
    parts = (ink.kept,) if ink.live is None else (ink.kept, ink.live)
    return tuple(np.asarray(part, dtype=float) / np.maximum(ink.sizes, 1) for part in parts)


def _density(
    axes: Axes,
    ink: DensityInk,
    at: np.ndarray,
    hues: tuple[str, str],
    *,
    edge: float,
    rows: bool,
    last: bool,
) -> None:
    kept, *live = _shares(ink)
    for number, share in enumerate((kept, *live)):
        style = _mark(hues[number], filled=last and number == 0, path=number == 1)
        shown = np.maximum(share, edge)
        if not rows:
            dash = ("-" if number == 0 else DOTTED) if last else EARLIER
            axes.plot(at + 1, shown, color=hues[number], linestyle=dash, linewidth=1.2)
            continue
        zero = share <= 0
        axes.plot(shown[~zero], at[~zero], **style)
        if zero.any():
            axes.plot(shown[zero], at[zero], **{**style, "marker": "<", "markersize": 7})


def _mark(colour: str, *, filled: bool, path: bool) -> dict[str, Any]:
    return {
        "linestyle": "none",
        "clip_on": False,
        "marker": "D" if path else "o",
        "markersize": 8 if path else 5,
        "color": colour,
        "markerfacecolor": colour if filled else "none",
        "markeredgewidth": 0.0 if filled else 1.1,
    }


def _name_rows(axes: Axes, names: list[str], *, rows: bool) -> None:
    if not rows:
        axes.set_xlim(0, len(names) + 1)
        axes.set_xlabel(f"layer, first to last of {len(names)}")
        axes.grid(axis="y")
        return
    axes.hlines(
        range(len(names)), 0, 1, color=GRID, lw=0.6, zorder=0, transform=axes.get_yaxis_transform()
    )
    axes.set_yticks(range(len(names)), [plain(name, LONGEST) for name in names])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_box_aspect(max(0.034 * len(names), 0.12))


def _density_axis(axes: Axes, edge: float, text: str, *, rows: bool) -> None:
    """Make an axis logarithmic up to 100 %, with ticks that are round."""
    axis = axes.xaxis if rows else axes.yaxis
    (axes.set_xscale if rows else axes.set_yscale)("log")
    (axes.set_xlim if rows else axes.set_ylim)(edge / 1.15, 1.05)
    digits = (1, 2, 5) if edge > 2e-3 else (1,)
    powers = range(math.floor(math.log10(edge)), 1)
    ticks = [digit * 10.0**power for power in powers for digit in digits]
    axis.set_major_locator(FixedLocator([tick for tick in ticks if edge <= tick <= 1]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g}%"))
    axis.set_minor_formatter(NullFormatter())
    (axes.set_xlabel if rows else axes.set_ylabel)(text)


def _density_key(axes: Axes, drawn: list[Any], *, rows: bool) -> None:
    """Name the marks, and the answers where there are several."""
    hue = drawn[-1][2] or PALETTE[0]
    second = PALETTE[1] if len(drawn) == 1 else hue
    kept, live = (
        _mark(colour, filled=not path, path=path)
        if rows
        else {"color": colour, "linestyle": DOTTED if path else "-"}
        for colour, path in ((hue, False), (second, True))
    )
    handles, labels = [Line2D([], [], **kept)], ["kept"]
    if any(ink.live is not None for ink, _, _ in drawn):
        handles.append(Line2D([], [], **live))
        labels.append("kept and on a path")
    if rows and any((share <= 0).any() for ink, _, _ in drawn for share in _shares(ink)):
        handles.append(Line2D([], [], color=MUTED, marker="<", linestyle="none", markersize=6))
        labels.append("none")
    legend_above(axes, _named(drawn), (handles, labels))


def _named(drawn: list[Any]) -> tuple[list[Line2D], list[str]]:
    """Return handles and labels of the answers that have a name."""
    answers = [(label, colour) for _, label, colour in drawn if label is not None]
    handles = [
        Line2D([], [], **_mark(colour or INK, filled=turn == len(answers) - 1, path=False))
        for turn, (_, colour) in enumerate(answers)
    ]
    return handles, [label for label, _ in answers]


def alike(axes: Axes, ink: AlikeInk, label: str | None, colour: str | None) -> None:
    """Draw the overlap of two masks, with those drawn there before."""
    drawn: list[tuple[AlikeInk, str | None, str | None]] = gathered(axes, (ink, label, colour))
    names = list(dict.fromkeys(name for one, _, _ in drawn for name in one.names))
    place = {name: number for number, name in enumerate(names)}
    rows = len(names) <= ROWS
    for turn, (one, _, hue) in enumerate(drawn):
        at = np.array([place[name] for name in one.names], dtype=float)
        style = _mark(hue or PALETTE[0], filled=turn == len(drawn) - 1, path=False)
        bar = {"color": MUTED, "linewidth": 3.0, "alpha": 0.45}
        low, high = (np.clip(one.chance + k * one.spread, 0, 1) for k in (-1, 1))
        if rows:
            axes.hlines(at, low, high, **bar)
            axes.plot(one.chance, at, "|", color=MUTED, markersize=9)
            axes.plot(one.jaccard, at, **style)
        else:
            axes.fill_between(at + 1, low, high, color=MUTED, alpha=0.3, linewidth=0)
            axes.plot(at + 1, one.chance, color=MUTED, linewidth=1.0)
            axes.plot(at + 1, one.jaccard, color=hue or PALETTE[0], linewidth=1.2)
    _name_rows(axes, names, rows=rows)
    (axes.set_xlim if rows else axes.set_ylim)(0, 1.02)
    (axes.xaxis if rows else axes.yaxis).set_major_formatter(PercentFormatter(1.0))
    text = "weights that both keep, of those that either keeps (Jaccard)"
    (axes.set_xlabel if rows else axes.set_ylabel)(text if rows else "kept by both, of either")
    hue = drawn[-1][2] or PALETTE[0]
    handles = [
        Line2D([], [], **_mark(hue, filled=True, path=False)),
        Line2D([], [], color=MUTED, marker="|", markersize=9, linewidth=3.0, alpha=0.6),
    ]
    labels = ["the two masks", "independent masks of these densities (95 %)"]
    legend_above(axes, _named(drawn), (handles, labels))


def overlaps(axes: Axes, ink: OverlapInk, label: str | None) -> None:
    """Draw the matrix on empty axes: Jaccard above the diagonal, of chance below."""
    count = len(ink.names)
    shown = np.where(np.triu(np.ones((count, count), bool), 1), ink.jaccard, ink.chance)
    shown[np.diag_indices(count)] = np.nan
    if not np.isfinite(shown).any():
        nothing_to_draw(axes, "no two masks to compare")
        axes.set_xlabel("masks")
        return
    axes.imshow(np.ma.masked_invalid(shown), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for row in range(count):
        for column in range(count):
            value = shown[row, column]
            if np.isfinite(value) and count <= NUMBERED:
                dark = "white" if value > 0.6 else INK
                text = f"{100 * value:.3g}%"
                axes.text(column, row, text, ha="center", va="center", fontsize=7.5, color=dark)
    names = [plain(name, NAME) for name in ink.names]
    turn = {"rotation": 30, "ha": "right"} if max(map(len, names)) * count > 60 else {}
    axes.set_xticks(range(count), names, **turn)
    axes.set_yticks(range(count), names)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xlabel("kept by both, of either: above the diagonal; below it, of independent masks")
    axes.set_box_aspect(min(max(0.07 * count, 0.35), 1.0))
    if label is not None:
        legend_above(axes, ([Line2D([], [], linestyle="none")], [label]))
