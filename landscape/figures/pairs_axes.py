"""How many networks and the barriers between them are drawn."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import NullLocator

from landscape.figures.pairs import PairsInk
from landscape.figures.style import INK, MUTED, PALETTE, legend_above, nothing_to_draw, plain

LONGEST = 22  # characters of a name
NUMBERED = 12  # most networks whose barriers are written into the cells

MARKS = {"connected": "✓", "barrier": "✗", "inconclusive": "?", "refused": "–"}

# white at no barrier, blue up to the tolerance, orange far above it; black is read on each of them
_MAP = LinearSegmentedColormap.from_list(
    "barriers", ["#ffffff", "#9ecae9", "#f6e3d3", "#e58a43"], N=256
).with_extremes(bad="#f1f3f5")
_INK = "#000000"  # on these colours, which no theme changes


def matrix(axes: Axes, ink: PairsInk, label: str | None) -> None:
    """Draw the matrix on empty axes."""
    count = len(ink.names)
    finite = ink.barriers[np.isfinite(ink.barriers)]
    if not finite.size:
        nothing_to_draw(axes, "no pair could be judged")
        axes.set_xlabel(label or "pairs", parse_math=False)
        return
    tolerance = ink.tolerance if ink.tolerance > 0 else 1e-12
    top = max(float(finite.max()), 3 * tolerance)
    shown = np.ma.masked_invalid(np.clip(ink.barriers, 0, None))
    image = axes.imshow(shown, cmap=_MAP, norm=TwoSlopeNorm(tolerance, 0, top), aspect="auto")
    _scale(axes, image, ink)
    for row in range(count):
        for column in range(count):
            if row != column:
                _cell(axes, ink, row, column)
    _boxes(axes, ink.components)
    places = range(count)
    names = [plain(name, LONGEST) for name in ink.names]
    turn = {"rotation": 30, "ha": "right"} if max(map(len, names)) * count > 60 else {}
    axes.set_xticks(places, names, **turn)
    axes.set_yticks(places, names)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xlabel(
        f"{ink.quantity} barrier: above the diagonal of the line, below of the best path",
    )
    axes.set_box_aspect(min(max(0.07 * count, 0.35), 1.0))
    _key(axes, ink, label)


def _scale(axes: Axes, image: AxesImage, ink: PairsInk) -> None:
    """Draw what the colours mean at the right, with the tolerance."""
    low, high = image.get_clim()
    ticks = [low or 0.0, ink.tolerance, high or 0.0]
    bar = Colorbar(axes.inset_axes((1.03, 0.0, 0.025, 1.0)), image, ticks=ticks)
    bar.ax.set_yticklabels([f"{ticks[0]:.2g}", f"{ticks[1]:.2g} tolerated", f"{ticks[2]:.2g}"])
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.tick_params(length=0, labelsize=7)


def _cell(axes: Axes, ink: PairsInk, row: int, column: int) -> None:
    """Write barrier and verdict of a pair into its cell."""
    value, verdict = ink.barriers[row, column], ink.verdicts[row][column]
    mark = MARKS.get(verdict, "") if row > column else ""
    number = f"{value:.2g}" if np.isfinite(value) and len(ink.names) <= NUMBERED else ""
    text = "\n".join(part for part in (number, mark) if part)
    axes.text(column, row, text, ha="center", va="center", fontsize=7.5, color=_INK)


def _boxes(axes: Axes, components: tuple[int, ...]) -> None:
    """Frame each component: its members stand beside one another."""
    for number in dict.fromkeys(components):
        first, size = components.index(number), components.count(number)
        frame = Rectangle(
            (first - 0.5, first - 0.5), size, size, fill=False, edgecolor=INK, linewidth=1.2
        )
        axes.add_patch(frame)


def _key(axes: Axes, ink: PairsInk, label: str | None) -> None:
    seen = {ink.verdicts[row][column] for row in range(len(ink.names)) for column in range(row)}
    names = [f"{mark} {verdict}" for verdict, mark in MARKS.items() if verdict in seen]
    names.append("frame: component")
    if label is not None:
        names.insert(0, label)
    legend_above(axes, ([Line2D([], [], linestyle="none") for _ in names], names))


def graph(axes: Axes, ink: PairsInk) -> None:
    """Draw the graph on empty axes."""
    count = len(ink.names)
    angle = np.pi / 2 - 2 * np.pi * np.arange(count) / count
    places = np.stack((np.cos(angle), np.sin(angle)), axis=1)
    for row in range(count):
        for column in range(row):
            verdict = ink.verdicts[row][column]
            if verdict in ("connected", "inconclusive"):
                sure = verdict == "connected"
                axes.plot(
                    *places[[row, column]].T,
                    color=INK if sure else MUTED,
                    linewidth=1.4 if sure else 0.8,
                    linestyle="-" if sure else (0, (3, 3)),
                    zorder=1,
                )
    for (x, y), name, number in zip(places, ink.names, ink.components, strict=True):
        axes.plot(x, y, "o", color=PALETTE[number % len(PALETTE)], markersize=9, zorder=2)
        side = "left" if x > 0.1 else "right" if x < -0.1 else "center"
        axes.annotate(
            plain(name, LONGEST),
            (1.12 * x, 1.12 * y),
            ha=side,
            va="center" if side != "center" else "bottom" if y > 0 else "top",
            fontsize=8,
        )
    axes.set_xlim(-2.6, 2.6)
    axes.set_ylim(-1.45, 1.45)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xlabel("one colour: one component")
    edges = [
        Line2D([], [], color=INK, linewidth=1.4),
        Line2D([], [], color=MUTED, linewidth=0.8, linestyle=(0, (3, 3))),
    ]
    legend_above(axes, (edges, ["connected", "undecided"]))
