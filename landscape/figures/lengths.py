"""The distribution of the lengths of single samples' gradients, with thresholds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True)
class LengthsInk:
    """What is drawn."""

    lengths: np.ndarray  # (k,), quantiles at even probabilities from 0 to 1, ascending
    samples: int
    mean: float  # ‖g‖ of the mean gradient
    thresholds: tuple[tuple[float, str], ...]  # length, and what is told beside it


def draw_lengths(axes: Axes, *, ink: LengthsInk) -> None:
    """Draw the share of samples up to each length, with a line at each threshold."""
    from landscape.figures import lengths_axes

    lengths_axes.draw(axes, ink)
