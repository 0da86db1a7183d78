"""How a ticket and its controls are drawn: over density with bands, or as rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter, NullLocator

from landscape.figures.style import (
    GRID,
    MUTED,
    PALETTE,
    gathered,
    legend_above,
    nothing_to_draw,
    plain,
)
from landscape.figures.tickets import Arm, ArmsInk

LONGEST = 30  # characters of an arm's name
MARKERS = ("o", "s", "^", "D", "v", "P")
EARLIER = (0, (3, 2))  # the dashes of answers before the last
TICKS = 8  # most densities that are marked


def draw(axes: Axes, ink: ArmsInk, label: str | None, colour: str | None) -> None:
    """Draw the arms of one more answer, with those drawn there before."""
    drawn: list[tuple[ArmsInk, str | None, str | None]] = gathered(axes, (ink, label, colour))
    values = [arm.value for one, _, _ in drawn for arm in one.arms]
    if not values or not np.isfinite(np.concatenate(values)).any():
        nothing_to_draw(axes, "no arm was trained")
        axes.set_xlabel("density")
        return
    names = list(dict.fromkeys(arm.name for one, _, _ in drawn for arm in one.arms))
    hues = {name: PALETTE[number % len(PALETTE)] for number, name in enumerate(names)}
    densities = {float(d) for one, _, _ in drawn for arm in one.arms for d in arm.density}
    inks = [one for one, _, _ in drawn]
    if len(densities) > 1:
        _curves(axes, inks, names, hues, densities)
    else:
        _rows(axes, inks, names, hues)
    _keys(axes, drawn, names, hues, curves=len(densities) > 1)


def _curves(
    axes: Axes,
    inks: list[ArmsInk],
    names: list[str],
    hues: dict[str, str],
    densities: set[float],
) -> None:
    """Draw every arm over a log axis of density, sparse to the right as in the literature."""
    for turn, ink in enumerate(inks):
        last = turn == len(inks) - 1
        for arm in ink.arms:
            order = np.argsort(arm.density)
            x = arm.density[order]
            value, low, high = (_scaled(ink, part[order]) for part in _parts(arm))
            style: dict[str, Any] = {"color": hues[arm.name], "linestyle": "-" if last else EARLIER}
            marker = MARKERS[names.index(arm.name) % len(MARKERS)]
            face = hues[arm.name] if last else "none"
            axes.plot(x, value, marker=marker, markersize=4, markerfacecolor=face, **style)
            if len(x) == 1:
                axes.vlines(x, low, high, color=hues[arm.name], linewidth=1.2)
            alpha = 0.14 if last else 0.06
            axes.fill_between(x, low, high, color=hues[arm.name], alpha=alpha, linewidth=0)
    _dense(inks[-1], axes.axhspan, axes.axhline)
    axes.set_xscale("log")
    axes.set_xlim(max(densities) * 1.1, min(densities) / 1.1)
    each = -(-len(densities) // TICKS)
    axes.xaxis.set_major_locator(FixedLocator(sorted(densities)[::each]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g}%"))
    axes.grid(axis="y")
    axes.set_xlabel("weights that are kept")
    axes.set_ylabel(_quantity(inks[-1]))
    if inks[-1].quantity == "loss":
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(NullFormatter())


def _rows(axes: Axes, inks: list[ArmsInk], names: list[str], hues: dict[str, str]) -> None:
    """Draw one row per arm, with its interval; answers beside one another stand in turn."""
    place = {name: number for number, name in enumerate(names)}
    axes.hlines(
        range(len(names)), 0, 1, color=GRID, lw=0.6, zorder=0, transform=axes.get_yaxis_transform()
    )
    for turn, ink in enumerate(inks):
        last = turn == len(inks) - 1
        shift = 0.22 * (turn - (len(inks) - 1) / 2)
        for arm in ink.arms:
            at = np.full(len(arm.value), place[arm.name] + shift)
            value, low, high = (_scaled(ink, part) for part in _parts(arm))
            axes.hlines(at, low, high, color=hues[arm.name], linewidth=1.6)
            face = hues[arm.name] if last else "white"
            marker = MARKERS[place[arm.name] % len(MARKERS)]
            style: dict[str, Any] = {"color": hues[arm.name], "markerfacecolor": face}
            axes.plot(value, at, marker, markersize=6, **style)
    _dense(inks[-1], axes.axvspan, axes.axvline)
    axes.set_yticks(range(len(names)), [plain(name, LONGEST) for name in names])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))
    axes.set_xlabel(_quantity(inks[-1]))
    axes.set_box_aspect(max(0.045 * len(names), 0.14))


def _dense(ink: ArmsInk, span: Any, line: Any) -> None:
    """Draw the whole network as a line with its interval."""
    if ink.dense is None:
        return
    value, low, high = (float(_scaled(ink, np.array(part))) for part in ink.dense)
    if np.isfinite([low, high]).all():
        span(low, high, color=MUTED, alpha=0.15, linewidth=0)
    line(value, color=MUTED, linewidth=1.0, linestyle=(0, (5, 2)))


def _keys(
    axes: Axes,
    drawn: list[tuple[ArmsInk, str | None, str | None]],
    names: list[str],
    hues: dict[str, str],
    *,
    curves: bool,
) -> None:
    handles: list[Artist] = []
    labels: list[str] = []
    if curves:
        for number, name in enumerate(names):
            marker = MARKERS[number % len(MARKERS)]
            handles.append(Line2D([], [], color=hues[name], marker=marker, markersize=4))
            labels.append(name)
    if drawn[-1][0].dense is not None:
        handles.append(Line2D([], [], color=MUTED, linewidth=1.0, linestyle=(0, (5, 2))))
        labels.append("dense")
    handles.append(Patch(color=MUTED, alpha=0.3) if curves else Line2D([], [], color=MUTED, lw=1.6))
    labels.append("interval")
    answers = [label for _, label, _ in drawn if label is not None]
    named = [
        Line2D([], [], color=MUTED, linestyle="-" if turn == len(answers) - 1 else EARLIER)
        for turn in range(len(answers))
    ]
    legend_above(axes, (named, answers), (handles, labels))


def _parts(arm: Arm) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return arm.value, arm.lower, arm.upper


def _scaled(ink: ArmsInk, values: np.ndarray) -> np.ndarray:
    return 100 * values if ink.quantity == "accuracy" else values


def _quantity(ink: ArmsInk) -> str:
    return "accuracy, %" if ink.quantity == "accuracy" else "loss"
