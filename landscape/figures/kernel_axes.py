"""How a tangent kernel is drawn."""

from __future__ import annotations

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullFormatter, PercentFormatter

from landscape.figures.kernel import KernelInk, LayerInk, PathInk, PowerInk, TrainingInk
from landscape.figures.style import (
    MUTED,
    PALETTE,
    gathered,
    legend_above,
    nothing_to_draw,
    plain,
)

Drawn = tuple[KernelInk, str | None, str]  # ink, label, colour

BARS = 12  # most layers of a plan that are drawn
ROWS = 24  # most layers whose alignment is
DASH = (0, (5, 2))
BAND = 0.2  # opacity


def draw(axes: Axes, ink: KernelInk, label: str | None, colour: str | None) -> None:
    """Draw one more kernel on axes, with those drawn there before."""
    drawn: list[Drawn] = gathered(axes, (ink, label, colour or PALETTE[0]))
    shown = [one for one in drawn if one[0].drawable]
    if not shown:
        _plan(axes, drawn)
        return
    for one, _, hue in shown:
        _eigenvalues(axes, one, hue)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="y")
    axes.set_xlabel("rank of the eigenvalue")
    axes.set_ylabel("eigenvalue of the tangent kernel")
    named = [(label, hue) for _, label, hue in shown if label is not None]
    hue = MUTED if len(shown) > 1 else shown[0][2]
    marks: list[Artist] = [Line2D([], [], color=hue, marker="o", markersize=3)]
    meanings = ["eigenvalue"]
    if any(one.upper is not None for one, _, _ in shown):
        marks.append(Patch(color=hue, alpha=BAND, linewidth=0))
        meanings.append("proved range")
    if any(one.floor > 0 for one, _, _ in shown):
        marks.append(Line2D([], [], color=hue, linestyle=DASH, linewidth=0.9))
        meanings.append("floor of rounding")
    lines: list[Artist] = [Line2D([], [], color=colour) for _, colour in named]
    legend_above(axes, (lines, [label for label, _ in named]), (marks, meanings))


def _eigenvalues(axes: Axes, ink: KernelInk, colour: str) -> None:
    """Draw what stands above the floor, and the floor over the ranks of the rest."""
    count = len(ink.eigenvalues)
    above = ink.eigenvalues > max(ink.floor, 0.0)
    rank = np.arange(1, count + 1)
    size, last = 3.2 if count <= 100 else 1.6, max(count, 2)
    if ink.lower is not None and ink.upper is not None and len(ink.upper):
        _band(axes, ink.lower, ink.upper, ink.floor, colour)
        last = max(last, len(ink.upper))
    axes.plot(rank[above], ink.eigenvalues[above], "-o", color=colour, markersize=size, lw=1.0)
    if ink.floor <= 0:
        return
    axes.plot([1, last], [ink.floor] * 2, color=colour, linestyle=DASH, linewidth=0.9)
    if not above.all():
        axes.annotate(
            f"{int((~above).sum()):,} of {count:,} below",
            (1, ink.floor),
            xytext=(0, 2),
            textcoords="offset points",
            fontsize=7.5,
            color=colour,
        )


def _band(axes: Axes, lower: np.ndarray, upper: np.ndarray, floor: float, colour: str) -> None:
    """Draw between which values eigenvalues lie, as far as they are above the floor from below."""
    least = max(floor, 1e-3 * float(upper.min()))
    rank = np.arange(1, len(upper) + 1)
    axes.fill_between(
        rank, np.maximum(lower, least), np.maximum(upper, least), color=colour, alpha=BAND, lw=0
    )


def _plan(axes: Axes, drawn: list[Drawn]) -> None:
    """Draw the operations of the costliest layers."""
    ink, label, colour = drawn[-1]
    if not ink.operations:
        nothing_to_draw(axes, "the kernel is zero")
        axes.set_xlabel("rank of the eigenvalue")
        return
    order = np.argsort(ink.operations)[-BARS:]
    axes.barh(range(len(order)), [ink.operations[i] for i in order], color=colour, height=0.7)
    axes.set_yticks(range(len(order)), [plain(ink.names[i], 30) for i in order])
    axes.set_xlabel("multiplications and additions")
    if label is not None:
        legend_above(axes, ([Line2D([], [], color=colour)], [label]))


def draw_power(axes: Axes, ink: PowerInk) -> None:
    """Draw both cumulative shares on empty axes."""
    rank = np.arange(1, len(ink.power) + 1)
    positive = np.maximum(ink.eigenvalues[: len(rank)], 0)
    share = np.cumsum(positive) / max(ink.trace, 1e-300)
    axes.plot(rank, ink.power, "-o", color=PALETTE[0], markersize=2.2)
    axes.plot(rank, share, color=PALETTE[1], linestyle=DASH)
    axes.set_xscale("log")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(0, 1.03)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.grid(axis="y")
    axes.set_xlabel("number k of modes")
    axes.set_ylabel("in the first k modes")
    handles: list[Artist] = [
        Line2D([], [], color=PALETTE[0]),
        Line2D([], [], color=PALETTE[1], linestyle=DASH),
    ]
    legend_above(axes, (handles, ["of the targets, centred", "of the trace"]))


def draw_path(axes: Axes, ink: PathInk) -> None:
    """Draw both errors on empty axes."""
    axes.plot(ink.ridge, ink.left_out, color=PALETTE[0])
    axes.plot(ink.ridge, ink.generalised, color=PALETTE[1], linestyle=DASH)
    axes.plot(ink.ridge[ink.best], ink.left_out[ink.best], "D", color=PALETTE[0], markersize=5)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.grid(axis="y")
    axes.set_xlabel("ridge λ")
    axes.set_ylabel("mean squared error of a left-out sample")
    handles: list[Artist] = [
        Line2D([], [], color=PALETTE[0]),
        Line2D([], [], color=PALETTE[1], linestyle=DASH),
        Line2D([], [], color=PALETTE[0], marker="D", markersize=5, linestyle="none"),
    ]
    legend_above(axes, (handles, ["leave-one-out", "generalised (KARE)", "least"]))


def draw_training(axes: Axes, ink: TrainingInk) -> None:
    """Draw the losses on empty axes, that of the network itself as a level."""
    low, high = ink.interval[1:].T
    least = 0.5 * min(ink.training.min(), ink.held_out.min())
    axes.plot(ink.time[1:], ink.training[1:], color=PALETTE[1], linestyle=DASH)
    axes.plot(ink.time[1:], ink.held_out[1:], color=PALETTE[0])
    axes.fill_between(
        ink.time[1:], np.maximum(low, least), high, color=PALETTE[0], alpha=BAND, linewidth=0
    )
    axes.axhline(ink.held_out[0], color=MUTED, linewidth=0.9)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="y")
    axes.set_xlabel("learning rate × steps")
    axes.set_ylabel("cross-entropy")
    handles: list[Artist] = [
        Line2D([], [], color=PALETTE[1], linestyle=DASH),
        Line2D([], [], color=PALETTE[0]),
        Line2D([], [], color=MUTED, linewidth=0.9),
    ]
    legend_above(axes, (handles, ["training", "held-out", "held-out, network itself"]))


def draw_layers(axes: Axes, ink: LayerInk) -> None:
    """Draw layers from the first at the top, those with the largest shares where there are many."""
    kept = np.sort(np.argsort(-ink.share, kind="stable")[:ROWS])
    place = -np.arange(len(kept))
    low, high = np.clip(ink.interval[kept].T, -1, 1)
    axes.barh(place, ink.share[kept], color=PALETTE[1], alpha=0.35, height=0.7)
    axes.hlines(place, low, high, color=PALETTE[0], linewidth=1.2)
    axes.plot(ink.alignment[kept], place, "o", color=PALETTE[0], markersize=4)
    size = 8 if len(kept) <= BARS else 6
    axes.set_yticks(place, [plain(ink.names[i], 30) for i in kept], fontsize=size)
    axes.set_xlim(min(0.0, float(low.min())), 1)
    axes.grid(axis="x")
    axes.set_xlabel("centred alignment; share of the trace")
    handles: list[Artist] = [
        Line2D([], [], color=PALETTE[0], marker="o", markersize=4),
        Line2D([], [], color=PALETTE[1], alpha=0.35, linewidth=6),
    ]
    legend_above(axes, (handles, ["alignment with the targets", "share of the trace"]))
