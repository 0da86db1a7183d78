"""An eigenspectrum: density on a log axis, and the eigenvalues that were found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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


def draw_spectrum(
    axes: Axes, ink: SpectrumInk, *, label: str | None = None, colour: str | None = None
) -> None:
    """Draw density, band, eigenvalues with whiskers, and mark the outliers."""
    colour = colour or "#0072B2"
    axes.fill_between(ink.grid, ink.lower, ink.upper, color=colour, alpha=0.2, linewidth=0)
    axes.plot(ink.grid, ink.value, color=colour, label=label)
    axes.set_yscale("log")
