"""The scale that surfaces share: from what to what, and where its levels lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import BoundaryNorm, Colormap, LogNorm, Normalize, to_hex

from landscape.figures.surface import SurfaceInk

LEVELS = 14
DEEPEST = 1e-8  # of the highest value; what lies below has the lowest colour
COLOURS = "viridis"  # even in lightness, safe for the colour-blind


@dataclass(frozen=True)
class Scale:
    """From `low` to `high`, both finite and low below high; even in the logarithm or in itself."""

    low: float
    high: float
    logarithmic: bool

    @classmethod
    def of(cls, inks: Sequence[SurfaceInk]) -> Self:
        """Return the scale on which inks of one quantity, one of them drawable, are shown."""
        values = np.concatenate([np.asarray(ink.shown.compressed()) for ink in inks])
        low, high = float(values.min()), float(values.max())
        for ink in inks:
            if ink.scale is not None:
                low, high = min(low, ink.scale[0]), max(high, ink.scale[1])
        logarithmic = inks[0].quantity != "error" and low > 0
        if logarithmic:
            low = max(low, high * DEEPEST)
        if high - low <= 1e-9 * abs(high):  # flat: some room around it
            room = 0.05 * abs(high) or 1.0
            low, high = low - room, high + room
        return cls(low, high, logarithmic)

    @property
    def levels(self) -> np.ndarray:
        """Return the levels between which all have one colour, ends included."""
        return self.even(LEVELS + 1)

    def even(self, count: int) -> np.ndarray:
        """Return so many values at even steps of the scale, ends included."""
        spaced = np.geomspace if self.logarithmic else np.linspace
        return spaced(self.low, self.high, count)

    @property
    def ramp(self) -> Normalize:
        """Return the continuous map to 0 … 1."""
        kind = LogNorm if self.logarithmic else Normalize
        return kind(self.low, self.high, clip=True)

    @property
    def steps(self) -> BoundaryNorm:
        """Return the map of values to the colours between two levels."""
        return BoundaryNorm(self.levels, colormap().N, clip=True)

    def height(self, values: np.ma.MaskedArray) -> np.ndarray:
        """Return heights from 0 to 1, NaN where there is none."""
        return np.ma.filled(self.ramp(values).astype(float), np.nan)


def colormap() -> Colormap:
    """Return the colours of heights, lowest first."""
    return colormaps[COLOURS]


def hues(count: int = 17) -> list[str]:
    """Return so many of the colours, evenly spaced, as #rrggbb."""
    return [to_hex(colormap()(place)) for place in np.linspace(0, 1, count)]
