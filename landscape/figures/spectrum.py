"""An eigenspectrum: density on a log axis, and the eigenvalues that were found."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = 1e-2  # the density is shown down to this part of the peak of a single eigenvalue


@dataclass(frozen=True, kw_only=True)
class SpectrumInk:
    """What is drawn."""

    grid: np.ndarray  # (g,)
    value: np.ndarray  # (g,), density
    lower: np.ndarray  # (g,)
    upper: np.ndarray  # (g,)
    eigenvalues: np.ndarray  # (k,)
    residuals: np.ndarray  # (k,)
    outliers: int  # how many of the largest stand apart
    parameters: int
    operator: str
    settled: bool = True  # whether the density is worth drawing beside the eigenvalues
    finer: Self | None = None  # the same with a density on a finer grid over the bulk

    @property
    def drawable(self) -> bool:
        """Return whether there is a finite density to draw, or an eigenvalue without one."""
        if not self.settled:
            return bool(np.isfinite(self.eigenvalues).any())
        return bool(np.isfinite(self.grid).all() and (self.value > 0).any() and len(self.grid) > 1)

    @property
    def floor(self) -> float:
        """Return the density below which nothing is shown: a small part of one eigenvalue."""
        kernel = 2 * float(self.grid[1] - self.grid[0])  # about its standard deviation
        return SHOWN / (max(self.parameters, 1) * kernel * math.sqrt(2 * math.pi))

    @property
    def apart(self) -> np.ndarray:  # (k,), bool
        """Return which eigenvalues are outliers."""
        chosen = np.zeros(len(self.eigenvalues), dtype=bool)
        chosen[np.argsort(-self.eigenvalues)[: self.outliers]] = True
        return chosen


def draw_spectrum(
    axes: Axes, ink: SpectrumInk, *, label: str | None = None, colour: str | None = None
) -> None:
    """Draw density, band, eigenvalues with whiskers, and mark the outliers.

    Where no density is settled, the eigenvalues stand alone.

    Drawing again on the same axes overlays: the answers share their scales and are drawn anew.
    """
    from landscape.figures import spectral_axes

    spectral_axes.draw(axes, ink, label, colour)
