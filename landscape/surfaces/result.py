"""The answer to what the loss looks like around checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from landscape.answer import Finding, Result, Table
from landscape.estimate import Estimate
from landscape.figures.picture import Picture
from landscape.surfaces import findings, pictures, tables
from landscape.surfaces.curvature import Check

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DOUBTFUL = 0.5  # half-width over value from which on a cell is unreliable, unless it is
SMALL = 0.05  # small against the range of the surface
NORMAL = 1.959964  # of the pointwise intervals at 95 %


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Loss and error over a plane, or along lines, one row each; NaN where they are not finite."""

    checkpoint: str
    loss: np.ndarray  # (h, g)
    error: np.ndarray | None  # (h, g), a share; None for regression
    loss_deviation: np.ndarray  # (h, g), standard error through the choice of the samples
    error_deviation: np.ndarray | None  # (h, g)
    lengths: np.ndarray  # (k,), of the directions in weight space
    centre: Estimate  # loss of the checkpoint, with the statistics that it came with
    here: Estimate | None  # the same as the surface has it; None where the checkpoint is not on it

    @property
    def infinite(self) -> np.ndarray:  # (h, g)
        """Return where the loss is not finite."""
        return ~np.isfinite(self.loss)

    @property
    def unreliable(self) -> np.ndarray:  # (h, g)
        """Return where the samples do not tell the loss, or it is not finite.

        That is where the 95 % half-width exceeds half of the value and a twentieth of the range.
        """
        finite = self.loss[~self.infinite]
        spread = float(np.ptp(finite)) if finite.size else 0.0
        with np.errstate(invalid="ignore"):
            half = NORMAL * np.nan_to_num(self.loss_deviation, nan=0.0)
            doubtful = half > np.maximum(DOUBTFUL * np.abs(self.loss), SMALL * spread)
        return self.infinite | doubtful


@dataclass(frozen=True, kw_only=True)
class Average:
    """The mean over random directions, with a pointwise 95 % interval (directions, samples)."""

    value: np.ndarray  # (g,)
    lower: np.ndarray  # (g,)
    upper: np.ndarray  # (g,)


@dataclass(frozen=True, kw_only=True)
class Place:
    """A checkpoint on a surface."""

    name: str
    x: float
    y: float
    apart: float  # its distance from the surface, in weight space
    loss: Estimate  # its own, not that of the nearest point of the surface


@dataclass(frozen=True, kw_only=True)
class SurfaceResult(Result):
    """The loss and the error around checkpoints, along lines or over a plane."""

    name: ClassVar[str] = "surface"
    picture_names: ClassVar[tuple[str, ...]] = ("relief", "error")

    checkpoint: str  # at the centre; where others are compared, the last
    checkpoints: tuple[str, ...]
    kind: str  # of the directions
    normalise: str  # of random directions
    biases: bool  # whether these move too
    statistics: str  # of normalisation layers
    parameters: int
    samples: int
    unit: str  # behind the standard errors: sample, or batch
    directions: tuple[str, ...]  # axes of a plane, or lines
    x: np.ndarray  # (g,)
    y: np.ndarray | None  # (h,); None: lines
    loss: np.ndarray  # (h, g), or one row for each line
    error: np.ndarray | None
    loss_deviation: np.ndarray
    error_deviation: np.ndarray | None
    lengths: np.ndarray  # (k,), of the directions in weight space
    in_distance: bool  # whether x and y are distances; else multiples of the directions
    cosine: float | None  # between the axes of a plane
    centre: Estimate
    here: Estimate | None
    others: tuple[Sheet, ...]  # the same around the other checkpoints
    places: tuple[Place, ...]  # checkpoints on one surface
    path: np.ndarray | None  # (T, 2), of a run or a curve
    explained: np.ndarray | None  # (k,), share of the run's squared distances on each axis
    ceiling: float  # above which the figure clips; NaN: nowhere
    checks: tuple[Check, ...]
    unchecked: str  # why there are none; empty when there are

    @property
    def plane(self) -> bool:
        """Return whether it is a plane, not lines."""
        return self.y is not None

    @property
    def averaged(self) -> bool:
        """Return whether the lines are draws of one distribution."""
        return not self.plane and self.kind == "random" and len(self.directions) > 1

    @property
    def sheet(self) -> Sheet:
        """Return the surface around the last checkpoint."""
        return Sheet(
            checkpoint=self.checkpoint,
            loss=self.loss,
            error=self.error,
            loss_deviation=self.loss_deviation,
            error_deviation=self.error_deviation,
            lengths=self.lengths,
            centre=self.centre,
            here=self.here,
        )

    @property
    def sheets(self) -> tuple[Sheet, ...]:
        """Return all surfaces, in the order of the checkpoints."""
        return (*self.others, self.sheet)

    def summary(self) -> str:
        """Return the answer in one or two lines."""
        return tables.summary_of(self)

    def headline(self) -> tuple[tuple[str, Estimate], ...]:
        """Return the loss at the centre, and the curvature along the first directions."""
        found = [one for one in self.own_checks if not one.left_out]
        curved = ((f"curvature, {one.direction}", one.difference) for one in found[:2])
        return (*self._losses(), *curved)

    def _losses(self) -> tuple[tuple[str, Estimate], ...]:
        """Return the loss at the checkpoint; as saved and as drawn, where these differ."""
        if self.here is None or not findings.apart(self.sheet):
            return (("loss at the checkpoint", self.centre),)
        return ("loss with saved statistics", self.centre), ("with recomputed ones", self.here)

    @property
    def own_checks(self) -> tuple[Check, ...]:
        """Return the curvature at the last checkpoint."""
        return tuple(one for one in self.checks if one.checkpoint == self.checkpoint)

    def draw(self, axes: Axes, *, label: str | None = None, colour: str | None = None) -> None:
        """Draw the loss along the lines, or its contours, one panel for each checkpoint."""
        pictures.draw_main(axes, self, label=label, colour=colour)

    def pictures(self) -> tuple[Picture, ...]:
        """Return the surface in three dimensions, and the error."""
        return pictures.pictures_of(self)

    def caption(self) -> str:
        """Return method, cost, and what a slice does not show."""
        return tables.caption_of(self)

    def tables(self) -> tuple[Table, ...]:
        """Return the surfaces, the curvature along the directions, and the checkpoints on them."""
        return tables.tables_of(self)

    def findings(self) -> tuple[Finding, ...]:
        """Return what a reader should not miss."""
        return findings.findings_of(self)

    def trust(self) -> tuple[tuple[str, str], ...]:
        """Return what the numbers rest on."""
        return tables.trust_of(self)
