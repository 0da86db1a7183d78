"""Masks and what becomes of networks under them: arms, densities of layers, overlaps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Quantity = Literal["accuracy", "loss"]


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A ticket or a control: what training reached at some densities, with intervals."""

    name: str
    density: np.ndarray  # (d,), share of the weights
    value: np.ndarray  # (d,)
    lower: np.ndarray  # (d,), NaN where there is no interval
    upper: np.ndarray  # (d,)


@dataclass(frozen=True, kw_only=True)
class ArmsInk:
    """What is drawn of arms; an accuracy is a share, drawn in per cent."""

    arms: tuple[Arm, ...]
    quantity: Quantity = "accuracy"
    dense: tuple[float, float, float] | None = None  # value and interval of the whole network


@dataclass(frozen=True, kw_only=True)
class DensityInk:
    """What a mask keeps of each layer, first to last."""

    names: tuple[str, ...]
    sizes: np.ndarray  # (l,), weights
    kept: np.ndarray  # (l,)
    live: np.ndarray | None  # (l,), of those on a path from input to output; None: not known


@dataclass(frozen=True, kw_only=True)
class AlikeInk:
    """How alike two masks are, layer by layer, beside chance."""

    names: tuple[str, ...]
    jaccard: np.ndarray  # (l,)
    chance: np.ndarray  # (l,)
    spread: np.ndarray  # (l,), 1.96 standard deviations of chance


@dataclass(frozen=True, kw_only=True)
class OverlapInk:
    """How alike each two of many masks are."""

    names: tuple[str, ...]
    jaccard: np.ndarray  # (r, r), NaN on the diagonal
    chance: np.ndarray  # (r, r)


def draw_arms(
    axes: Axes, ink: ArmsInk, *, label: str | None = None, colour: str | None = None
) -> None:
    """Draw arms over density with bands; where there is one density, as rows with intervals.

    Drawing again on the same axes overlays: the last answer is solid, those before it are dashed
    or hollow.
    """
    from landscape.figures import arm_axes

    arm_axes.draw(axes, ink, label, colour)


def draw_layers(
    axes: Axes, ink: DensityInk, *, label: str | None = None, colour: str | None = None
) -> None:
    """Draw the density of every layer on a log axis, and the part of it that is on a path."""
    from landscape.figures import tickets_axes

    tickets_axes.layers(axes, ink, label, colour)


def draw_alike(
    axes: Axes, ink: AlikeInk, *, label: str | None = None, colour: str | None = None
) -> None:
    """Draw the overlap of two masks in every layer, beside that of independent masks."""
    from landscape.figures import tickets_axes

    tickets_axes.alike(axes, ink, label, colour)


def draw_overlaps(axes: Axes, ink: OverlapInk, *, label: str | None = None) -> None:
    """Draw the overlaps of many masks as a matrix."""
    from landscape.figures import tickets_axes

    tickets_axes.overlaps(axes, ink, label)
