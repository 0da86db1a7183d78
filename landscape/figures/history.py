"""A training run over its steps: loss, gradient norm, learning rate; layers; signals over depth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True)
class HistoryInk:
    """What is drawn of one run."""

    step: np.ndarray  # (t,)
    loss: np.ndarray  # (t,); NaN where it is not known
    gradient: np.ndarray  # (t,), norm as the optimizer saw it
    before: np.ndarray  # (t,), norm before clipping
    rate: np.ndarray  # (t,)
    marks: Mapping[str, tuple[float, ...]]  # steps by what happened there
    begins: tuple[float, ...] = ()  # steps at which a further run begins
    answers: Mapping[str, np.ndarray] = field(
        default_factory=dict[str, np.ndarray]
    )  # by what it is: step, value, low, high (4, k)


@dataclass(frozen=True, kw_only=True)
class LayersOverTimeInk:
    """What is drawn of the layers over a run."""

    step: np.ndarray  # (c,)
    names: tuple[str, ...]
    norms: np.ndarray  # (N, c)


@dataclass(frozen=True, kw_only=True)
class SignalsInk:
    """What is drawn of signals over depth: one line per step and kind."""

    names: tuple[str, ...]  # modules, in the order of the forward pass
    lines: Mapping[str, Mapping[str, np.ndarray]]  # kind: when: (M,)


def draw_history(
    axes: Axes, ink: HistoryInk, *, label: str | None = None, colour: str | None = None
) -> None:
    """Draw panels over a common axis of steps; drawing again on the same axes overlays runs."""
    from landscape.figures import history_axes

    history_axes.draw(axes, ink, label, colour)


def draw_layers_over_time(axes: Axes, *, ink: LayersOverTimeInk) -> None:
    """Draw the gradient norm of every layer over the steps, as colour on a logarithmic scale."""
    from landscape.figures import history_axes

    history_axes.draw_layers(axes, ink)


def draw_signals(axes: Axes, *, ink: SignalsInk) -> None:
    """Draw root mean squares of signals over depth."""
    from landscape.figures import history_axes

    history_axes.draw_signals(axes, ink)
