"""The loss on the plane through three points of weight space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True)
class PlaneInk:
    """What is drawn; coordinates are lengths in weight space."""

    x: np.ndarray  # (g,)
    y: np.ndarray  # (h,)
    loss: np.ndarray  # (h, g)
    corners: np.ndarray  # (3, 2): A, the bend, B
    names: tuple[str, str, str]
    path: np.ndarray  # (T, 2), the curve, as far as it lies in the plane

    @property
    def drawable(self) -> bool:
        """Return whether there are finite losses to draw."""
        return bool(np.isfinite(self.loss).any())


def draw_plane(axes: Axes, ink: PlaneInk) -> None:
    """Draw contours of the loss, the three points, the line and the curve."""
    from landscape.figures import weight_plane_axes

    weight_plane_axes.draw(axes, ink)
