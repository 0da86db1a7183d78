"""The loss near networks: along one direction of weight space, or over two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from landscape.errors import SettingError

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A named place: a checkpoint."""

    name: str
    x: float
    y: float = float("nan")


@dataclass(frozen=True, kw_only=True)
class SliceCurve:
    """A quantity at T points of a line, with its band."""

    name: str
    mean: np.ndarray  # (T,)
    lower: np.ndarray | None = None  # (T,)
    upper: np.ndarray | None = None  # (T,)
    reliable: np.ndarray | None = None  # (T,) bool; None: everywhere
    draws: np.ndarray | None = None  # (d, T), the single directions behind the mean

    @property
    def drawable(self) -> bool:
        """Return whether there is a finite value to draw."""
        return bool(np.isfinite(self.mean).any())


@dataclass(frozen=True, kw_only=True)
class SliceInk:
    """What is drawn of a line: values as measured, the drawing clips them."""

    over: ClassVar[str] = "along a line"

    distances: np.ndarray  # (T,)
    quantity: str
    curves: tuple[SliceCurve, ...]
    parabola: tuple[np.ndarray, np.ndarray] | None = None  # (distances, values), from curvature
    marks: tuple[Mark, ...] = ()  # at distance x
    clipped_at: float | None = None
    axis_name: str = "distance"

    @property
    def shown(self) -> tuple[SliceCurve, ...]:
        """Return the curves that can be drawn."""
        return tuple(curve for curve in self.curves if curve.drawable)


@dataclass(frozen=True, kw_only=True)
class SurfaceInk:
    """What is drawn of a plane: values as measured, the drawing clips and hatches them."""

    over: ClassVar[str] = "over a plane"

    x: np.ndarray  # (g,)
    y: np.ndarray  # (h,)
    values: np.ndarray  # (h, g)
    unreliable: np.ndarray  # (h, g) bool
    clipped_at: float | None = None
    points: tuple[Mark, ...] = ()
    trajectory: np.ndarray | None = None  # (T, 2)
    axis_names: tuple[str, str] = ("first direction", "second direction")
    unit: str = ""  # of x and y
    quantity: str = "loss"
    name: str = ""  # of what it is around, where an answer has several
    scale: tuple[float, float] | None = None  # None: that of all that are drawn together

    @property
    def axis_labels(self) -> tuple[str, str]:
        """Return the names of the axes with their unit."""
        told = f" ({self.unit})" if self.unit else ""
        return f"{self.axis_names[0]}{told}", f"{self.axis_names[1]}{told}"

    @property
    def infinite(self) -> np.ndarray:
        """Return where the quantity is not finite."""
        return ~np.isfinite(self.values)

    @property
    def clipped(self) -> np.ndarray:
        """Return where the quantity is finite and above what is shown."""
        top = np.inf if self.clipped_at is None else self.clipped_at
        return np.isfinite(self.values) & (self.values > top)

    @property
    def doubtful(self) -> np.ndarray:
        """Return where the quantity is shown as it is and yet is not to be relied on."""
        return self.unreliable.astype(bool) & ~self.infinite & ~self.clipped

    @property
    def shown(self) -> np.ma.MaskedArray:
        """Return the quantity as it is drawn: clipped, masked where it is not finite."""
        top = np.inf if self.clipped_at is None else self.clipped_at
        return np.ma.masked_array(np.minimum(self.values, top), self.infinite)

    @property
    def drawable(self) -> bool:
        """Return whether there is a finite value to draw."""
        return bool(np.isfinite(self.values).any())

    def coarser(self, cells: int) -> SurfaceInk:
        """Return the plane with at most so many cells, an even number, along each axis.

        Ends and middle stay; what lies between is left out, not averaged.
        """
        kept = [
            np.round(np.linspace(0, len(axis) - 1, min(len(axis), cells + 1))).astype(int)
            for axis in (self.y, self.x)
        ]
        part = np.ix_(*kept)
        return replace(
            self,
            x=self.x[kept[1]],
            y=self.y[kept[0]],
            values=self.values[part],
            unreliable=self.unreliable[part],
        )


def check_alike(inks: Sequence[SliceInk | SurfaceInk]) -> None:
    """Check that inks can be drawn on one scale.

    Raises:
        SettingError: Some are of a line and some of a plane, or they are of different quantities.
    """
    kinds = {f"the {ink.quantity} {ink.over}" for ink in inks}
    if len(kinds) > 1:
        raise SettingError(
            "these answers cannot stand on one scale",
            where="figure",
            why=f"they show {' and '.join(sorted(kinds))}",
            hint="draw answers of the same dimension and quantity together",
        )


def draw_slices(
    axes: Axes, ink: SliceInk, *, label: str | None = None, colour: str | None = None
) -> None:
    """Draw the quantity along a line, with bands; drawing again on the same axes overlays."""
    from landscape.figures import slice_axes

    slice_axes.draw(axes, ink, label, colour)


def draw_contours(
    axes: Axes, ink: SurfaceInk, *, label: str | None = None, colour: str | None = None
) -> None:
    """Draw contours over a plane; drawing again on the same axes sets them side by side.

    All share one scale. Cells that are clipped, not finite or unreliable are hatched. In HTML a
    reader can ask for the value of a cell.
    """
    from landscape.figures import contour_axes

    del colour  # tells curves apart, not planes
    contour_axes.draw(axes, ink, label)


def draw_relief(axes: Axes, ink: SurfaceInk, *, label: str | None = None) -> None:
    """Draw a plane as a surface in three dimensions; several stand side by side on one scale.

    In HTML a reader can turn it.
    """
    from landscape.figures import relief_axes

    relief_axes.draw(axes, ink, label)
