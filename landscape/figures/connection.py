"""Loss or error along the paths between two networks, with simultaneous bands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True)
class Along:
    """One path: a quantity at T points of it, with its band."""

    name: str
    t: np.ndarray  # (T,), from 0 to 1
    value: np.ndarray  # (T,)
    lower: np.ndarray  # (T,)
    upper: np.ndarray  # (T,)
    told: str = ""  # beside the name in the key: the verdict

    @property
    def drawable(self) -> bool:
        """Return whether there is a finite value to draw."""
        return bool(np.isfinite(self.value).any())


@dataclass(frozen=True, kw_only=True)
class ConnectionInk:
    """What is drawn."""

    quantity: str
    paths: tuple[Along, ...]
    ends: tuple[str, str]  # at t = 0 and t = 1
    tolerance: float  # above the line between the ends, absolute; NaN: none

    @property
    def shown(self) -> tuple[Along, ...]:
        """Return the paths that can be drawn."""
        return tuple(path for path in self.paths if path.drawable)


def draw_connection(
    axes: Axes, ink: ConnectionInk, *, label: str | None = None, colour: str | None = None
) -> None:
    """Draw the paths with their bands, and what the verdict holds them against.

    Drawing again on the same axes overlays: each answer has a colour, each path its dashes.
    """
    from landscape.figures import connection_axes

    connection_axes.draw(axes, ink, label, colour)
