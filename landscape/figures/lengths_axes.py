"""How the distribution of gradient lengths is drawn."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter, PercentFormatter
from scipy.special import kolmogi  # pyright: ignore[reportMissingTypeStubs]

from landscape.figures.lengths import LengthsInk
from landscape.figures.style import MUTED, PALETTE, legend_above, nothing_to_draw, plain

LEAST = 1e-6  # of the largest length: what is shorter is left of the picture
DASHES = ((0, (5, 2)), (0, (1, 1.2)), (0, (3, 1, 1, 1)))


def draw(axes: Axes, ink: LengthsInk) -> None:
    """Draw the distribution on empty axes, with its 95 % band (Kolmogorov)."""
    largest = float(ink.lengths.max()) if len(ink.lengths) else 0.0
    if not 0 < largest < math.inf:
        nothing_to_draw(axes, "every gradient is zero")
        return
    share = np.linspace(0, 1, len(ink.lengths))
    lengths = np.maximum(ink.lengths, LEAST * largest)
    half = float(kolmogi(0.05)) / math.sqrt(ink.samples)
    low, high = np.clip(share - half, 0, 1), np.clip(share + half, 0, 1)
    axes.fill_between(lengths, low, high, color=PALETTE[0], alpha=0.15, linewidth=0)
    axes.plot(lengths, share, color=PALETTE[0])
    handles: list[Artist] = [Line2D([], [], color=PALETTE[0])]
    labels = [f"share of {ink.samples:,} samples"]
    marks = [*ink.thresholds, *([(ink.mean, "‖g‖ of the mean")] if ink.mean > 0 else [])]
    for number, (length, told) in enumerate(marks):
        last = number == len(ink.thresholds)
        colour = MUTED if last else PALETTE[1]
        dash = "-" if last else DASHES[number % len(DASHES)]
        axes.axvline(length, color=colour, linestyle=dash, linewidth=1.0)
        handles.append(Line2D([], [], color=colour, linestyle=dash, linewidth=1.0))
        labels.append(plain(told, 40))
    axes.set_xscale("log")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.grid(axis="y")
    axes.set_xlabel("norm of one sample's gradient ‖gᵢ‖")
    axes.set_ylabel("share of samples below")
    legend_above(axes, (handles[2:], labels[2:]), (handles[:2], labels[:2]))
