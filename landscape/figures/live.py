"""What of a figure a page can bring to life: grids whose cells can be read, surfaces to turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from landscape.figures.surface import SurfaceInk

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Cells:
    """A grid on a part of a figure.

    Args:
        ink: The numbers.
        box: Left, top, width and height of the axes, each as a share of the figure.
        view: What the axes show: left, right, bottom, top in the units of x and y.
    """

    ink: SurfaceInk
    box: tuple[float, float, float, float]
    view: tuple[float, float, float, float]


@dataclass(frozen=True)
class Relief:
    """Surfaces that are turned together.

    Args:
        inks: The numbers, all on one scale.
        labels: Their names; empty where there is only one.
        scale: Lowest and highest height.
        logarithmic: Whether heights are even in the logarithm at first.
    """

    inks: tuple[SurfaceInk, ...]
    labels: tuple[str, ...]
    scale: tuple[float, float]
    logarithmic: bool


_cells: WeakKeyDictionary[Axes, SurfaceInk] = WeakKeyDictionary()
_reliefs: WeakKeyDictionary[Axes, Relief] = WeakKeyDictionary()


def offer_cells(axes: Axes, ink: SurfaceInk) -> None:
    """Say which grid was drawn on axes."""
    _cells[axes] = ink


def offer_relief(axes: Axes, relief: Relief) -> None:
    """Say which surfaces were drawn on axes."""
    _reliefs[axes] = relief


def withdraw(axes: Axes) -> None:
    """Forget what was drawn on axes: they are drawn anew."""
    _cells.pop(axes, None)
    _reliefs.pop(axes, None)


def cells_of(figure: Figure) -> tuple[Cells, ...]:
    """Return the grids of a figure that was rendered, so that its layout is settled."""
    panels: list[Any] = [panel for axes in figure.axes for panel in (axes, *axes.child_axes)]
    return tuple(
        Cells(_cells[panel], _box(figure, panel), (*panel.get_xlim(), *panel.get_ylim()))
        for panel in panels
        if panel in _cells
    )


def relief_of(figure: Figure) -> Relief | None:
    """Return the surfaces of a figure, None where it has none."""
    return next((_reliefs[axes] for axes in figure.axes if axes in _reliefs), None)


def _box(figure: Figure, axes: Axes) -> tuple[float, float, float, float]:
    whole, part = figure.bbox, axes.bbox
    return (
        (part.x0 - whole.x0) / whole.width,
        (whole.y1 - part.y1) / whole.height,
        part.width / whole.width,
        part.height / whole.height,
    )
