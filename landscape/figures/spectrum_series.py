"""Eigenvalues over the checkpoints of a training run, against the threshold of its optimizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True)
class Line:
    """One eigenvalue over t checkpoints, with its interval."""

    value: np.ndarray  # (t,)
    lower: np.ndarray  # (t,)
    upper: np.ndarray  # (t,)
    settled: np.ndarray  # (t,), bool


@dataclass(frozen=True, kw_only=True)
class SeriesInk:
    """What is drawn."""

    places: np.ndarray  # (t,), optimizer steps, or the order
    names: tuple[str, ...]
    by_step: bool
    top: tuple[Line, ...]  # λ₁ … λₖ
    bottom: Line | None  # λ_min
    threshold: np.ndarray  # (t,), NaN where it is not known
    rule: str  # whose threshold it is
    operator: str

    @property
    def drawable(self) -> bool:
        """Return whether there is a finite eigenvalue to draw."""
        return bool(self.top) and bool(np.isfinite(self.top[0].value).any())


def draw_series(axes: Axes, *, ink: SeriesInk) -> None:
    """Draw λ₁ … λₖ with bands, λ_min, and the threshold as a dashed line."""
    from landscape.figures import series_axes

    series_axes.draw(axes, ink)
