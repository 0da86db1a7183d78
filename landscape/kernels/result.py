"""The answer to what the tangent kernel of a network tells."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from landscape.answer import Finding, Result, Table
from landscape.estimate import Estimate
from landscape.figures.picture import Picture
from landscape.kernels import findings, pictures, tables, words
from landscape.kernels.dynamics import Dynamics
from landscape.kernels.influence import Suspect
from landscape.kernels.nystrom import Approximation
from landscape.kernels.prediction import Prediction
from landscape.kernels.regression import RidgePath
from landscape.linalg.density import Density
from landscape.tangent.memory import Peak
from landscape.tangent.plan import LayerPlan

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True)
class LayerShare:
    """What one parameter adds to the trace, and how."""

    name: str
    parameters: int
    trace: float
    share: float
    order: str
    unfactored: str  # why its Jacobian was computed as it is; empty where it was not


@dataclass(frozen=True, kw_only=True)
class OutputAlignment:
    """How far the kernel of one output points at its own targets, centred."""

    output: int
    alignment: Estimate


@dataclass(frozen=True, kw_only=True)
class LayerAlignment:
    """How far the kernel of one layer points at the targets, centred.

    Args:
        name: Of the module that owns the parameters.
        parameters: How many.
        share: Of the trace, with the doubt of the choice of samples.
        alignment: Of Σ_c K_cc over its parameters alone.
    """

    name: str
    parameters: int
    share: Estimate
    alignment: Estimate


@dataclass(frozen=True, kw_only=True)
class Regression:
    """The regression of the targets on the trace kernel.

    Args:
        path: Errors along the ridges.
        ridge: At which the rest is told.
        dimension: Effective dimension at the ridge.
        accuracy: Leave-one-out, where every sample has one label.
        leverage: Of every sample (N,).
        suspects: Samples whose labels all others contradict, the most first.
    """

    path: RidgePath
    ridge: float
    dimension: Estimate
    accuracy: Estimate | None
    leverage: np.ndarray
    suspects: tuple[Suspect, ...]


@dataclass(frozen=True, kw_only=True)
class Change:
    """What became of the kernel over the series.

    Args:
        first: S = 1 − cos(K, K') from the kernel of the first checkpoint.
        before: From that of the checkpoint before.
        scale: tr K over that of the first checkpoint.
    """

    first: Estimate
    before: Estimate
    scale: Estimate


@dataclass(frozen=True, kw_only=True)
class NtkResult(Result):
    """Spectrum, alignment, regression, dynamics and change of the tangent kernel.

    A field with a default is empty where a plan, or a kernel known by its products, tells nothing.
    """

    name: ClassVar[str] = "ntk"
    version: ClassVar[int] = 3
    picture_names: ClassVar[tuple[str, ...]] = ("power", "ridge", "training", "layers", "density")
    better: ClassVar = {"regression.accuracy": "higher"}

    kind: str
    checkpoint: str
    step: int | None
    samples: int
    outputs: int
    parameters: int
    eigenvalues: np.ndarray  # descending, as computed, also below the floor
    residuals: np.ndarray | None = None  # ‖Kv − λv‖ where only the largest were found, by products
    density: Density | None = None  # of all eigenvalues, where only the largest were found
    approximation: Approximation | None = None  # where it was not formed and its trace is exact
    floor: float = 0.0
    trace: Estimate
    condition: Estimate
    alignment: Estimate
    alignment_centred: Estimate
    kernel_file: str | None = None
    rank: int = 0  # eigenvalues above the floor
    participation: Estimate
    entropy_rank: Estimate
    by_output: tuple[OutputAlignment, ...] = ()
    by_layer: tuple[LayerAlignment, ...] = ()
    power: np.ndarray | None = None  # of the centred targets in the first k modes
    layers: tuple[LayerShare, ...] = ()
    dynamics: Dynamics | None = None
    dynamics_reason: str = ""
    regression: Regression | None = None
    prediction: Prediction | None = None
    prediction_reason: str = ""
    change: Change | None = None
    sketch_error: float | None = None  # standard error of the sketched kernel over its norm
    plan: tuple[LayerPlan, ...] = ()
    tiles: int = 0
    block: int = 0
    agreement: float = math.nan
    precision: str
    ignored: int = 0  # outputs that the loss does not read, left out
    unknown: str = ""  # why it is not known which outputs the loss reads
    repeated: int = 0  # samples whose inputs are those of one before
    memory: Peak | None = None  # foretold by the plan
    zeros: int = 0  # eigenvalues that are zero because of them

    @property
    def planned(self) -> bool:
        """Return whether this is a plan, and nothing was computed."""
        return not len(self.eigenvalues)

    @property
    def partial(self) -> bool:
        """Return whether the kernel was not formed, and only its largest eigenvalues are known."""
        return self.residuals is not None

    def summary(self) -> str:
        """Return trace, condition, rank and alignment in one line."""
        return words.summary_of(self)

    def headline(self) -> tuple[tuple[str, Estimate], ...]:
        """Return trace, alignment and condition, and what changed."""
        return words.headline_of(self)

    def draw(self, axes: Axes, *, label: str | None = None, colour: str | None = None) -> None:
        """Draw the eigenvalues above the floor of rounding."""
        pictures.draw_main(axes, self, label=label, colour=colour)

    def pictures(self) -> tuple[Picture, ...]:
        """Return the figures beside the main one, in the order of `picture_names`."""
        return pictures.pictures_of(self)

    def caption(self) -> str:
        """Return method and cost."""
        return words.caption_of(self)

    def tables(self) -> tuple[Table, ...]:
        """Return spectrum, modes, layers, outputs, ridges, suspects, prediction, training, plan."""
        return tables.tables_of(self)

    def findings(self) -> tuple[Finding, ...]:
        """Return what a reader should not miss."""
        return findings.findings_of(self)

    def trust(self) -> tuple[tuple[str, str], ...]:
        """Return what the numbers rest on."""
        return words.trust_of(self)
