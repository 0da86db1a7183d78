"""How a quantity along directions of weight space is drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullFormatter, PercentFormatter

from landscape.figures.style import (
    INK,
    MUTED,
    PALETTE,
    gathered,
    legend_above,
    nothing_to_draw,
    plain,
)
from landscape.figures.surface import SliceCurve, SliceInk, check_alike

WIDE = 30.0  # ratio of what is shown from which on the axis is logarithmic
MARKED = 60  # most points with a dot each
DASHES: tuple[Any, ...] = ("-", (0, (6, 1.5)), (0, (1, 1.2)), (0, (4, 1.5, 1, 1.5)))

Drawn = tuple[SliceInk, str | None, str | None]
Key = tuple[list[Artist], list[str]]


def draw(axes: Axes, ink: SliceInk, label: str | None, colour: str | None) -> None:
    """Draw one more answer on axes, with those drawn there before."""
    drawn: list[Drawn] = gathered(axes, (ink, label, colour))
    check_alike([one[0] for one in drawn])
    shown = [one for one in drawn if one[0].shown]
    if not shown:
        nothing_to_draw(axes, f"no finite {ink.quantity} to draw")
        return
    several = len(drawn) > 1
    for one, _, hue in shown:
        for number, curve in enumerate(one.shown):
            style = DASHES[number % len(DASHES)] if several else "-"
            _curve(axes, one, curve, _colour(number, hue, several=several), style)
        if one.parabola is not None:
            axes.plot(*one.parabola, color=INK, linewidth=0.9, linestyle=(0, (3, 2)), zorder=2.5)
    _lay_out(axes, [one for one, _, _ in shown])
    legend_above(axes, *_keys(shown, several=several))


def _colour(number: int, hue: str | None, *, several: bool) -> str:
    own = PALETTE[number % len(PALETTE)]
    return hue or own if several else own


def _curve(axes: Axes, ink: SliceInk, curve: SliceCurve, colour: str, style: Any) -> None:
    """Draw one curve: its draws, its band, its mean, and hollow marks where it is not reliable."""
    for draw in curve.draws if curve.draws is not None else ():
        axes.plot(ink.distances, _clip(ink, draw), color=colour, linewidth=0.5, alpha=0.35)
    if curve.lower is not None and curve.upper is not None:
        lower, upper = _clip(ink, curve.lower), _clip(ink, curve.upper)
        axes.fill_between(
            ink.distances, lower, upper, color=colour, alpha=0.16, linewidth=0, zorder=1.5
        )
    mean = _clip(ink, curve.mean)
    axes.plot(ink.distances, mean, color=colour, linestyle=style)
    firm = np.isfinite(curve.mean) & (mean == curve.mean)
    if curve.reliable is not None:
        firm &= curve.reliable.astype(bool)
    if len(mean) <= MARKED:
        axes.plot(ink.distances[firm], mean[firm], "o", color=colour, markersize=2.4)
    axes.plot(
        ink.distances[~firm],
        mean[~firm],
        "o",
        markerfacecolor="white",
        markeredgecolor=colour,
        markersize=4,
        zorder=3,
    )


def _clip(ink: SliceInk, values: np.ndarray) -> np.ndarray:
    return values if ink.clipped_at is None else np.minimum(values, ink.clipped_at)


def _lay_out(axes: Axes, inks: list[SliceInk]) -> None:
    values = np.concatenate([_clip(ink, curve.mean) for ink in inks for curve in ink.shown])
    values = values[np.isfinite(values)]
    if inks[0].quantity == "error":
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    elif (values > 0).all() and values.max() > WIDE * values.min():
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_ylim(float(values.min()) / 1.6, float(values.max()) * 1.6)
    axes.grid(axis="y")
    ends = [float(end) for ink in inks for end in (ink.distances.min(), ink.distances.max())]
    room = 0.02 * (max(ends) - min(ends)) or 0.5
    axes.set_xlim(min(ends) - room, max(ends) + room)
    axes.set_xlabel(plain(inks[0].axis_name, 90))
    axes.set_ylabel(inks[0].quantity)
    marks = {(mark.name, mark.x) for ink in inks for mark in ink.marks}
    for name, place in sorted(marks, key=lambda mark: mark[1]):
        axes.axvline(place, color=MUTED, linewidth=0.7, linestyle=(0, (2, 2)), zorder=1)
        axes.annotate(
            plain(name, 20),
            (place, 1),
            xycoords=axes.get_xaxis_transform(),
            xytext=(3, -3),
            textcoords="offset points",
            va="top",
            fontsize=7.5,
            color=INK,
        )


def _keys(shown: list[Drawn], *, several: bool) -> tuple[Key, Key]:
    """Return handles and labels in two rows: answers or curves, then what the marks mean."""
    handles: list[Artist] = []
    names: list[str] = []
    if several:
        for _, label, hue in shown:
            handles.append(Line2D([], [], color=hue or PALETTE[0]))
            names.append(label or "")
    else:
        for number, curve in enumerate(shown[0][0].shown):
            handles.append(Line2D([], [], color=PALETTE[number % len(PALETTE)]))
            names.append(curve.name)
        if (label := shown[0][1]) is not None:
            handles.insert(0, Line2D([], [], linestyle="none"))
            names.insert(0, label)
    return (handles, names), _meanings(shown, several=several)


def _meanings(shown: list[Drawn], *, several: bool) -> Key:
    inks = [ink for ink, _, _ in shown]
    curves = [curve for ink in inks for curve in ink.shown]
    handles: list[Artist] = []
    names: list[str] = []
    if several and any(len(ink.shown) > 1 for ink in inks):
        most = max(inks, key=lambda ink: len(ink.shown))
        for number, curve in enumerate(most.shown):
            style = DASHES[number % len(DASHES)]
            handles.append(Line2D([], [], color=MUTED, linestyle=style))
            names.append(curve.name)
    if any(curve.lower is not None for curve in curves):
        handles.append(Patch(color=MUTED, alpha=0.3, linewidth=0))
        names.append("band")
    if any(curve.draws is not None for curve in curves):
        handles.append(Line2D([], [], color=MUTED, linewidth=0.5))
        names.append("one direction")
    if any(ink.parabola is not None for ink in inks):
        handles.append(Line2D([], [], color=INK, linewidth=0.9, linestyle=(0, (3, 2))))
        names.append("from the curvature")
    if any(_loose(ink, curve) for ink in inks for curve in ink.shown):
        handles.append(
            Line2D([], [], marker="o", color=MUTED, markerfacecolor="white", linestyle="none")
        )
        names.append("clipped, unreliable")
    return handles, names


def _loose(ink: SliceInk, curve: SliceCurve) -> bool:
    clipped = bool((_clip(ink, curve.mean) < curve.mean).any())
    return clipped or (curve.reliable is not None and not bool(np.all(curve.reliable)))
