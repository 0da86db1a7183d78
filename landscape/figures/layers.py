"""Several quantities of every layer, as a table of coloured cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True)
class LayersInk:
    """What is drawn: one row per layer, one column per quantity."""

    names: tuple[str, ...]
    parameters: np.ndarray  # (layers,)
    columns: Mapping[str, np.ndarray]  # each (layers,)
    shares: tuple[str, ...] = ()  # columns of numbers from 0 to 1, coloured on a linear scale


def draw_layers(axes: Axes, *, ink: LayersInk) -> None:
    """Draw a row of cells per layer, each column on a scale of its own, with the numbers."""
    from landscape.figures import layer_axes

    layer_axes.draw(axes, ink)
