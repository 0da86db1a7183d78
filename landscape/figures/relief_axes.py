"""How a plane of weight space is drawn as a surface in three dimensions, at rest."""

from __future__ import annotations

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from landscape.figures.live import Relief, offer_relief, withdraw
from landscape.figures.naming import offsets
from landscape.figures.panels import ACROSS, entitle, side_by_side
from landscape.figures.relief import View, finer, shade, unit
from landscape.figures.style import (
    INK,
    MUTED,
    PALETTE,
    gathered,
    legend_above,
    nothing_to_draw,
    plain,
)
from landscape.figures.surface import SurfaceInk, check_alike
from landscape.figures.surface_scale import Scale, colormap

CELLS = 24  # most along an axis: a finer mesh is not seen at this size
GREY = "#a9b0b7"  # of cells that are clipped or not reliable
PATH = PALETTE[1]
VIEW = View()
SIZE = 7.5  # of the names of places, in points
WIDE = 450.0  # of a figure's axes, in points
LEFT, RIGHT = -1.75, 1.6  # of the paper that is seen

Drawn = tuple[SurfaceInk, str | None]


def draw(axes: Axes, ink: SurfaceInk, label: str | None) -> None:
    """Draw one more surface on axes, beside those drawn there before."""
    drawn: list[Drawn] = gathered(axes, (ink, label))
    inks = [one[0] for one in drawn]
    check_alike(inks)
    withdraw(axes)
    if not any(one.drawable for one in inks):
        nothing_to_draw(axes, f"no finite {ink.quantity} to draw")
        return
    scale = Scale.of([one for one in inks if one.drawable])
    labels = tuple(" · ".join(filter(None, (name, one.name))) for one, name in drawn)
    offer_relief(axes, Relief(tuple(inks), labels, (scale.low, scale.high), scale.logarithmic))
    panels = side_by_side(axes, len(drawn))
    if len(panels) == 1:
        axes.set_box_aspect(0.72)
    for panel, (one, name) in zip(panels, drawn, strict=True):
        entitle(panel, name, one.name, len(panels))
        _surface(panel, one, scale, len(panels))
    legend_above(axes, _key(inks))


def _surface(axes: Axes, ink: SurfaceInk, scale: Scale, panels: int) -> None:
    """Draw one surface on empty axes, one of so many panels."""
    axes.set_axis_off()
    _frame(axes, ink, scale, small=panels > 1)
    if ink.drawable:
        faces, colours = mesh(ink, scale)
        axes.add_collection(
            PolyCollection(
                list(faces), facecolors=colours, edgecolors=colours, linewidths=0.25, clip_on=False
            ),
            autolim=False,
        )
        _places(axes, ink, scale, WIDE / (RIGHT - LEFT) / min(panels, ACROSS))
    axes.set_xlim(LEFT, RIGHT)
    axes.set_ylim(-1.4, 1.22)


def mesh(ink: SurfaceInk, scale: Scale) -> tuple[np.ndarray, np.ndarray]:
    """Return the faces that are seen, (f, 4, 2), in the order to paint them, and their colours."""
    ink = ink.coarser(CELLS)
    heights = scale.height(ink.shown)
    x, y = np.meshgrid(unit(ink.x), unit(ink.y))
    corners = VIEW.project(x, y, heights)  # (h, g, 2)
    across, up = VIEW.far_to_near(len(ink.x) - 1, len(ink.y) - 1)
    i, j = (index.ravel() for index in np.meshgrid(up, across, indexing="ij"))
    around = ((i, j), (i, j + 1), (i + 1, j + 1), (i + 1, j))
    faces = np.stack([corners[place] for place in around], axis=1)  # (f, 4, 2)
    level = np.mean([heights[place] for place in around], axis=0)
    seen = np.isfinite(level)
    doubt = ink.clipped | ink.doubtful
    grey = np.any([doubt[place] for place in around], axis=0)
    light = 0.62 + 0.38 * np.nan_to_num(shade(heights, VIEW.tall)[i, j])
    base = np.asarray(colormap()(level))[:, :3]
    base[grey] = np.array([int(GREY[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    return faces[seen], (base * light[:, None])[seen]


def _frame(axes: Axes, ink: SurfaceInk, scale: Scale, *, small: bool) -> None:
    """Draw ground, axis names, and the scale of heights at the left."""
    ground = VIEW.project(np.array([-1, 1, 1, -1, -1]), np.array([-1, -1, 1, 1, -1]), np.zeros(5))
    axes.plot(*ground.T, color=MUTED, linewidth=0.6, zorder=0.5)
    foot, top = (_at(-1, -1, height) for height in (0, 1))
    axes.plot(*np.stack((foot, top)).T, color=MUTED, linewidth=0.6, zorder=0.5)
    size = 6.5 if small else 7.5
    for level in scale.even(3 if small else 5):
        place = _at(-1, -1, float(scale.ramp(level)))
        told = format(level, ".0%" if ink.quantity == "error" else ".2g").replace("-", "−")
        axes.text(place[0] - 0.05, place[1], told, ha="right", va="center", fontsize=size)
    x, y = _at(-1, -1, 1)
    axes.text(x - 0.05, y + 0.12, ink.quantity, ha="right", fontsize=size, color=MUTED)
    longest = 30 if small else 40
    for (x, y), name, side in zip(
        ((0.0, -1.15), (1.15, 0.0)), ink.axis_names, ("right", "left"), strict=True
    ):
        at = _at(x, y, 0)
        axes.text(at[0], at[1], plain(name, longest), ha=side, va="top", fontsize=size, color=MUTED)
    for x, y, told, side in (
        (-1, -1.08, ink.x[0], "right"),
        (1, -1.08, ink.x[-1], "right"),
        (1.08, -1, ink.y[0], "left"),
        (1.08, 1, ink.y[-1], "left"),
    ):
        at = _at(x, y, 0)
        axes.text(
            at[0],
            at[1],
            f"{told:.2g}".replace("-", "−"),
            ha=side,
            va="top",
            fontsize=size - 0.5,
            color=MUTED,
        )


def _at(x: float, y: float, height: float) -> np.ndarray:
    return VIEW.project(np.array(x), np.array(y), np.array(height))


def _places(axes: Axes, ink: SurfaceInk, scale: Scale, points: float) -> None:
    """Draw trajectory and checkpoints on the surface; `points` are those of a unit of paper."""
    if ink.trajectory is not None and len(ink.trajectory):
        line = lifted(ink, scale, finer(ink.trajectory))
        axes.plot(*line.T, color="white", linewidth=2.6, zorder=3)
        axes.plot(*line.T, color=PATH, linewidth=1.4, zorder=3)
    if not ink.points:
        return
    places = lifted(ink, scale, np.array([[mark.x, mark.y] for mark in ink.points]))
    names = [plain(mark.name, 20) for mark in ink.points]
    for place, name, offset in zip(
        places, names, offsets(places * points, names, size=SIZE), strict=True
    ):
        if not np.isfinite(place).all():
            continue
        axes.plot(*place, "o", color=PATH, markeredgecolor="white", markersize=5, zorder=4)
        if offset is not None:
            axes.annotate(
                name,
                place,
                xytext=offset,
                textcoords="offset points",
                ha="center",
                va="center",
                fontsize=SIZE,
                color=INK,
                zorder=5,
                bbox={"boxstyle": "round,pad=0.15", "fc": "white", "lw": 0, "alpha": 0.8},
                arrowprops={"arrowstyle": "-", "color": MUTED, "linewidth": 0.6},
            )


def lifted(ink: SurfaceInk, scale: Scale, places: np.ndarray) -> np.ndarray:  # (T, 2) -> (T, 2)
    """Return where places of the plane, (x, y), are seen on the surface; NaN outside of it."""
    heights = scale.height(ink.shown)
    column, row = (_place(axis, places[:, k]) for k, axis in enumerate((ink.x, ink.y)))
    i = np.clip(np.nan_to_num(row).astype(int), 0, max(len(ink.y) - 2, 0))
    j = np.clip(np.nan_to_num(column).astype(int), 0, max(len(ink.x) - 2, 0))
    s, t = row - i, column - j
    below, right = np.minimum(i + 1, len(ink.y) - 1), np.minimum(j + 1, len(ink.x) - 1)
    height = (
        (1 - s) * (1 - t) * heights[i, j]
        + (1 - s) * t * heights[i, right]
        + s * (1 - t) * heights[below, j]
        + s * t * heights[below, right]
    )
    x = np.interp(column, np.arange(len(ink.x)), unit(ink.x))
    y = np.interp(row, np.arange(len(ink.y)), unit(ink.y))
    return VIEW.project(x, y, height)


def _place(axis: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return fractional indices of values on an axis, NaN outside of it."""
    return np.interp(values, axis, np.arange(len(axis)), left=np.nan, right=np.nan)


def _key(inks: list[SurfaceInk]) -> tuple[list[Artist], list[str]]:
    handles: list[Artist] = []
    names: list[str] = []
    if any(ink.trajectory is not None for ink in inks):
        handles.append(Line2D([], [], color=PATH, linewidth=1.6))
        names.append("trajectory")
    if any(ink.points for ink in inks):
        handles.append(Line2D([], [], color=PATH, marker="o", linestyle="none", markersize=5))
        names.append("checkpoint")
    if any((ink.clipped | ink.doubtful).any() for ink in inks):
        handles.append(Patch(color=GREY, linewidth=0))
        names.append("clipped, not reliable")
    if any(ink.infinite.any() for ink in inks):
        handles.append(Patch(facecolor="none", edgecolor=MUTED, linewidth=0.6))
        names.append("hole: not finite")
    return handles, names
