"""A tangent kernel: eigenvalues above the floor of rounding, targets in its modes, ridge path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True)
class KernelInk:
    """What is drawn: eigenvalues, or the cost of every layer where there are none."""

    eigenvalues: np.ndarray  # (n,), descending
    floor: float
    lower: np.ndarray | None = None  # (m,), what is proved of the first m eigenvalues
    upper: np.ndarray | None = None  # (m,)
    names: tuple[str, ...] = ()  # of layers in a plan
    operations: tuple[float, ...] = ()

    @property
    def drawable(self) -> bool:
        """Return whether there is a positive eigenvalue."""
        return bool(len(self.eigenvalues)) and bool(self.eigenvalues[0] > 0)


@dataclass(frozen=True, kw_only=True)
class PowerInk:
    """The cumulative share of the targets and of the trace in the first k modes."""

    power: np.ndarray  # (n,)
    eigenvalues: np.ndarray  # (n,)
    trace: float  # of all eigenvalues, also those that are not here


@dataclass(frozen=True, kw_only=True)
class LayerInk:
    """Alignment and share of the trace, layer by layer."""

    names: tuple[str, ...]
    share: np.ndarray  # (l,)
    alignment: np.ndarray  # (l,)
    interval: np.ndarray  # (l, 2)


@dataclass(frozen=True, kw_only=True)
class PathInk:
    """Errors along a path of ridges."""

    ridge: np.ndarray  # (r,)
    left_out: np.ndarray  # (r,)
    generalised: np.ndarray  # (r,)
    best: int


@dataclass(frozen=True, kw_only=True)
class TrainingInk:
    """Losses of the linearised network along its training; time 0 first."""

    time: np.ndarray  # (t,)
    training: np.ndarray  # (t,)
    held_out: np.ndarray  # (t,)
    interval: np.ndarray  # (t, 2), of the held-out loss


def draw_kernel(
    axes: Axes, ink: KernelInk, *, label: str | None = None, colour: str | None = None
) -> None:
    """Draw eigenvalues by rank on log axes, what is proved of them, the floor; a plan as bars.

    Drawing again on the same axes overlays.
    """
    from landscape.figures import kernel_axes

    kernel_axes.draw(axes, ink, label, colour)


def draw_power(axes: Axes, *, ink: PowerInk) -> None:
    """Draw both cumulative shares against the number of modes."""
    from landscape.figures import kernel_axes

    kernel_axes.draw_power(axes, ink)


def draw_path(axes: Axes, *, ink: PathInk) -> None:
    """Draw leave-one-out error and generalised cross-validation against the ridge."""
    from landscape.figures import kernel_axes

    kernel_axes.draw_path(axes, ink)


def draw_layers(axes: Axes, *, ink: LayerInk) -> None:
    """Draw every layer's alignment with its interval, and its share of the trace."""
    from landscape.figures import kernel_axes

    kernel_axes.draw_layers(axes, ink)


def draw_training(axes: Axes, *, ink: TrainingInk) -> None:
    """Draw training and held-out loss against time, that of the network itself before them."""
    from landscape.figures import kernel_axes

    kernel_axes.draw_training(axes, ink)
