"""How a quantity over a plane of weight space is drawn: levels, places, and what to distrust."""

from __future__ import annotations

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PolyCollection
from matplotlib.colorbar import Colorbar
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator
from scipy.ndimage import distance_transform_edt

from landscape.figures.live import offer_cells, withdraw
from landscape.figures.naming import offsets
from landscape.figures.panels import ACROSS, entitle, side_by_side
from landscape.figures.style import (
    INK,
    MUTED,
    PALETTE,
    gathered,
    legend_above,
    nothing_to_draw,
    plain,
)
from landscape.figures.surface import Mark, SurfaceInk, check_alike
from landscape.figures.surface_scale import Scale, colormap

PATH = PALETTE[1]
WIDTH = 0.92  # of the axes, for several panels: the rest is for the colours' scale
CELLS = 100  # most along an axis: smaller ones are not seen at this size
SIZE = 7.5  # of the names of places, in points
WIDE, HIGH = 370.0, 0.85  # of the panels together in points, and of one, of its width
HATCHES = {"not finite": "xxxx", "clipped": "////", "not reliable": "|||"}

Drawn = tuple[SurfaceInk, str | None]


def draw(axes: Axes, ink: SurfaceInk, label: str | None) -> None:
    """Draw one more plane on axes, beside those drawn there before."""
    drawn: list[Drawn] = gathered(axes, (ink, label))
    inks = [one[0] for one in drawn]
    check_alike(inks)
    withdraw(axes)
    if not any(one.drawable for one in inks):
        nothing_to_draw(axes, f"no finite {ink.quantity} to draw")
        return
    scale = Scale.of([one for one in inks if one.drawable])
    alike = _on_the_same_axes(inks)
    panels = side_by_side(axes, len(drawn), width=WIDTH, gap=0.05 if alike else 0.11)
    if len(panels) == 1:
        axes.set_box_aspect(0.75)
    for number, (panel, (one, name)) in enumerate(zip(panels, drawn, strict=True)):
        _plane(panel, one, scale, len(panels))
        entitle(panel, name, one.name, len(panels))
        _name(panel, one, number, len(panels), alike=alike)
    axes.set_xlabel(plain(ink.axis_labels[0], 60))
    _colours(axes, inks[0].quantity, scale, several=len(panels) > 1)
    legend_above(axes, _key(inks))


def _plane(axes: Axes, ink: SurfaceInk, scale: Scale, panels: int) -> None:
    """Draw one plane on empty axes, one of so many panels."""
    ink = ink.coarser(CELLS)
    offer_cells(axes, ink)
    if ink.drawable:
        values, levels = _filled(ink), scale.levels
        axes.contourf(
            ink.x, ink.y, values, levels=levels, norm=scale.steps, cmap=colormap(), extend="both"
        )
        axes.contour(
            ink.x, ink.y, values, levels=levels[1:-1], colors="white", linewidths=0.35, alpha=0.6
        )
    axes.add_collection(PolyCollection(_boxes(ink, ink.infinite), facecolor="white"), autolim=False)
    for mask, kind in (
        (ink.infinite, "not finite"),
        (ink.clipped, "clipped"),
        (ink.doubtful, "not reliable"),
    ):
        hatched = PolyCollection(
            _boxes(ink, mask),
            facecolor="none",
            edgecolor=MUTED,
            linewidth=0,
            hatch=HATCHES[kind],
        )
        axes.add_collection(hatched, autolim=False)
    _places(axes, ink, panels)
    axes.set_xlim(float(ink.x.min()), float(ink.x.max()))
    axes.set_ylim(float(ink.y.min()), float(ink.y.max()))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=5, prune="both" if panels > 1 else None))
        axis.set_major_formatter(FuncFormatter(lambda at, _: f"{at:.3g}".replace("-", "−")))


def _filled(ink: SurfaceInk) -> np.ndarray:
    """Return values in which what is not finite is that of the nearest cell which is.

    So contours reach the edge of the cells that are then covered.
    """
    nearest = distance_transform_edt(ink.infinite, return_distances=False, return_indices=True)
    return np.asarray(ink.shown.filled(np.nan))[tuple(np.asarray(nearest))]


def _boxes(ink: SurfaceInk, mask: np.ndarray) -> list[list[tuple[float, float]]]:
    """Return the cells of a mask; a run of cells in a row is one rectangle."""
    across, up = edges(ink.x), edges(ink.y)
    boxes = []
    for row, line in enumerate(mask):
        turns = np.flatnonzero(np.diff(np.concatenate(([False], line, [False])).astype(int)))
        for start, end in turns.reshape(-1, 2):
            left, right, low, high = across[start], across[end], up[row], up[row + 1]
            boxes.append([(left, low), (right, low), (right, high), (left, high)])
    return boxes


def edges(places: np.ndarray) -> np.ndarray:  # (g,) -> (g + 1,)
    """Return the ends of the cells around places: half-way to the neighbours."""
    if len(places) < 2:
        return np.array([places[0] - 0.5, places[0] + 0.5])
    between = (places[1:] + places[:-1]) / 2
    first, last = 2 * places[0] - between[0], 2 * places[-1] - between[-1]
    return np.concatenate(([first], between, [last]))


def _is_inside(mark: Mark, ink: SurfaceInk) -> bool:
    across = ink.x.min() <= mark.x <= ink.x.max()
    return bool(across and ink.y.min() <= mark.y <= ink.y.max())


def _places(axes: Axes, ink: SurfaceInk, panels: int) -> None:
    """Draw the trajectory and the checkpoints, each with a rim that is seen on every colour."""
    if ink.trajectory is not None and len(ink.trajectory):
        axes.plot(*ink.trajectory.T, color="white", linewidth=3.0)
        axes.plot(*ink.trajectory.T, color=PATH, linewidth=1.6)
    for mark in ink.points:
        axes.plot(
            mark.x,
            mark.y,
            "o",
            markerfacecolor=PATH,
            markeredgecolor="white",
            markeredgewidth=1.0,
            markersize=5.5,
            zorder=5,
        )
    inside = [mark for mark in ink.points if _is_inside(mark, ink)]
    if not inside:
        return
    places = np.array([[mark.x, mark.y] for mark in inside])
    names = [plain(mark.name, 20) for mark in inside]
    wide = WIDE / min(panels, ACROSS)
    spans = np.array([np.ptp(ink.x), np.ptp(ink.y)]) / (wide, HIGH * wide)
    low, high = (np.array([end(ink.x), end(ink.y)]) / spans for end in (np.min, np.max))
    found = offsets(places / spans, names, size=SIZE, room=(*low, *high))
    for place, name, offset in zip(places, names, found, strict=True):
        if offset is None:
            continue
        axes.annotate(
            name,
            place,
            xytext=offset,
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=SIZE,
            color=INK,
            zorder=6,
            bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "linewidth": 0, "alpha": 0.8},
            arrowprops={"arrowstyle": "-", "color": INK, "linewidth": 0.5},
            annotation_clip=True,
        )


def _on_the_same_axes(inks: list[SurfaceInk]) -> bool:
    """Return whether planes have axes of the same names and reach."""
    kinds = {(ink.axis_labels, *ink.x[[0, -1]], *ink.y[[0, -1]]) for ink in inks}
    return len(kinds) == 1


def _name(panel: Axes, ink: SurfaceInk, number: int, count: int, *, alike: bool) -> None:
    """Name the axes of a panel; where all are alike, those at the left and at the bottom."""
    across, up = ink.axis_labels
    longest = (60, 40, 26)[min(count, ACROSS) - 1]
    if number + ACROSS >= count or not alike:
        panel.set_xlabel(plain(across, longest))
    if number % ACROSS == 0 or not alike:
        panel.set_ylabel(plain(up, longest), labelpad=None if alike else 1)
    else:
        panel.tick_params(labelleft=False)


def _colours(axes: Axes, quantity: str, scale: Scale, *, several: bool) -> None:
    """Draw the scale of the colours at the right."""
    place = (WIDTH + 0.025, 0.0, 0.02, 0.9) if several else (1.02, 0.0, 0.025, 1.0)
    bar = Colorbar(
        axes.inset_axes(place),
        ScalarMappable(norm=scale.steps, cmap=colormap()),
        spacing="uniform",
        ticks=scale.levels[::2].tolist(),
    )
    bar.ax.yaxis.set_minor_locator(NullLocator())
    written = FuncFormatter(
        lambda value, _: f"{value:.0%}" if quantity == "error" else f"{value:.2g}"
    )
    bar.ax.yaxis.set_major_formatter(written)
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.tick_params(length=0, labelsize=7.5)
    bar.set_label(quantity + (", log levels" if scale.logarithmic else ""), fontsize=8)


def _key(inks: list[SurfaceInk]) -> tuple[list[Artist], list[str]]:
    """Return handles and labels of what is drawn over the colours."""
    handles: list[Artist] = []
    names: list[str] = []
    if any(ink.trajectory is not None for ink in inks):
        handles.append(Line2D([], [], color=PATH, linewidth=1.6))
        names.append("trajectory")
    if any(ink.points for ink in inks):
        handles.append(Line2D([], [], color=PATH, marker="o", linestyle="none", markersize=5))
        names.append("checkpoint")
    found = {
        "not finite": any(ink.infinite.any() for ink in inks),
        "clipped": any(ink.clipped.any() for ink in inks),
        "not reliable": any(ink.doubtful.any() for ink in inks),
    }
    for name, hatch in HATCHES.items():
        if found[name]:
            handles.append(Patch(facecolor="none", edgecolor=MUTED, linewidth=0, hatch=hatch))
            names.append(name)
    return handles, names
