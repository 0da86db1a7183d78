"""The answer to what the curvature is at one checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from landscape.answer import Finding, Result, Table
from landscape.crosscheck import Opinion
from landscape.estimate import Estimate
from landscape.figures.picture import Picture
from landscape.figures.spectrum import SpectrumInk, draw_spectrum
from landscape.linalg.density import Density, Distribution
from landscape.spectra import findings, pictures, tables
from landscape.spectra.comparison import Comparison
from landscape.spectra.critical_point import CriticalPoint
from landscape.spectra.curvature import NAMES
from landscape.spectra.ends import Ends
from landscape.spectra.heterogeneity import Heterogeneity
from landscape.spectra.outliers import Outliers
from landscape.spectra.stability import StabilityMargin

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True)
class LayerTrace:
    """The trace of one layer's diagonal block, and how much of the top eigenvectors lies in it."""

    name: str
    parameters: int
    trace: Estimate
    mass: tuple[Estimate, ...]  # Σ vᵢ² over the layer for each top eigenvector

    @property
    def first_mass(self) -> Estimate | None:
        """Return the mass of the first eigenvector."""
        return self.mass[0] if self.mass else None


@dataclass(frozen=True, kw_only=True)
class SpectrumResult(Result):
    """The spectrum of one curvature operator at one checkpoint."""

    name: ClassVar[str] = "spectrum"
    picture_names: ClassVar[tuple[str, ...]] = ("series", "layers")
    version: ClassVar[int] = 5
    better: ClassVar = {"loss": "lower"}  # flat is not better in itself

    operator: str
    precondition: str
    weight_decay: float
    checkpoint: str
    step: int | None
    parameters: int
    loss: Estimate
    gradient_norm: Estimate
    complete: bool
    eigenvalues: Ends
    trace: Estimate
    frobenius_squared: Estimate
    density: Density
    bulk: Density | None  # on a finer grid, when the bulk takes little of the range
    distribution: Distribution
    effective_rank: Estimate
    stable_rank: Estimate
    effective_dimension: Estimate  # directions with more curvature than `ridge`
    ridge: float
    negative_mass: Estimate  # Σ|λ₋| / Σ|λ|
    negative_fraction: Estimate
    diagonal_share: Estimate  # Σ Aᵢᵢ² / ‖A‖²_F
    condition: Estimate
    outliers: Outliers
    stability: StabilityMargin | None
    stability_reason: str  # why there is no margin; empty when there is one
    critical_point: CriticalPoint | None  # of the Hessian only
    gradient_share: tuple[Estimate, ...]  # in the first 1 … k top eigenvectors
    participation: tuple[Estimate, ...]  # coordinates over which a top eigenvector is spread
    overlap: Estimate | None = None  # with the top eigenvectors of the checkpoint before
    layers: tuple[LayerTrace, ...]
    heterogeneity: Heterogeneity | None = None
    comparison: Comparison | None = None
    groups: int  # of the data, behind the sampling intervals; 0: none
    tolerance: float
    symmetry_defect: float
    orthogonality: float
    searches: int
    differentiation: str
    probes: int
    lanczos_steps: int
    crosscheck: Opinion | None = None

    @property
    def title(self) -> str:
        """Return what matrix it is, in words."""
        name = NAMES.get(self.operator, self.operator)
        name += f" + {self.weight_decay:g} I" if self.weight_decay else ""
        return f"preconditioned {name}" if self.precondition != "none" else name

    @property
    def extremes(self) -> tuple[Estimate, ...]:
        """Return λ_max and, where it was sought, λ_min."""
        return self.eigenvalues.top[:1] + self.eigenvalues.bottom[:1]

    @property
    def of_eval_mode(self) -> bool:
        """Return whether the loss is known to be another than the one that training descends."""
        told = (self.stability, self.critical_point)
        return any(one is not None and one.eval_mode for one in told)

    @property
    def judges_its_own(self) -> bool:
        """Return whether the margin is of the λ₁ that is listed, and judges the training."""
        margin = self.stability
        own = margin is not None and margin.preconditioned == (self.precondition != "none")
        return margin is not None and own and not margin.eval_mode

    @property
    def pairs(self) -> tuple[Estimate, ...]:
        """Return all eigenvalues that were found."""
        return self.eigenvalues.top + self.eigenvalues.bottom

    def summary(self) -> str:
        """Return the answer in one or two lines."""
        low = f", λ_min {self.eigenvalues.bottom[0]}" if self.eigenvalues.bottom else ""
        margin = f"; {self.stability.sentence}" if self.stability is not None else ""
        return (
            f"{self.title} of {self.checkpoint}, {self.parameters:,} parameters: "
            f"λ_max {self.eigenvalues.top[0]}{low}, trace {self.trace}, "
            f"effective rank {self.effective_rank:.3g}{margin}"
        )

    def headline(self) -> tuple[tuple[str, Estimate], ...]:
        """Return both ends, the stability margin, trace, effective rank and condition."""
        ends = zip(("λ_max", "λ_min"), self.extremes, strict=False)
        margin = (("margin", self.stability.margin),) if self.stability is not None else ()
        rank = ("effective rank", self.effective_rank)
        return (*ends, *margin, ("trace", self.trace), rank, ("condition", self.condition))

    def draw(self, axes: Axes, *, label: str | None = None, colour: str | None = None) -> None:
        """Draw the density, if there is one, on a log axis with the eigenvalues found."""
        draw_spectrum(axes, self._ink(), label=label, colour=colour)

    def pictures(self) -> tuple[Picture, ...]:
        """Return the figures beside the density: eigenvalues over a series, and the layers."""
        return pictures.pictures_of(self)

    def caption(self) -> str:
        """Return method and cost."""
        complete = "complete" if self.complete else "not known to be complete"
        taken = f"{self.probes} probes × {self.lanczos_steps} steps"
        curve = (
            f"Curve: stochastic Lanczos quadrature, {taken}, Gaussian kernel σ ≥ "
            f"{self.density.width:.2g}; band: pointwise 95 %."
            if self.density.status.settled
            else f"No curve: the budget was spent after {taken}, too few for a density."
        )
        return (
            f"{self.stamp}{self.title} of the mean loss, n = {self.parameters:,}. {curve} Marks: "
            f"{len(self.pairs)} eigenvalues, {complete}; whiskers: ‖Hv − λv‖. "
            f"{self.cost.products:,} products, {self.cost.seconds:.1f} s, seed {self.seed}."
        )

    def tables(self) -> tuple[Table, ...]:
        """Return the scalars, the eigenvalues and the layers."""
        return tables.tables_of(self)

    def findings(self) -> tuple[Finding, ...]:
        """Return what a reader should not miss."""
        return findings.findings_of(self)

    def trust(self) -> tuple[tuple[str, str], ...]:
        """Return what the numbers rest on."""
        return tables.trust_of(self)

    def _ink(self) -> SpectrumInk:
        finer = self._ink_of(self.bulk) if self.bulk is not None else None
        return replace(self._ink_of(self.density), finer=finer)

    def _ink_of(self, density: Density) -> SpectrumInk:
        return SpectrumInk(
            settled=density.status.settled,
            grid=density.grid,
            value=density.value,
            lower=density.lower,
            upper=density.upper,
            eigenvalues=np.array([e.value for e in self.pairs]),
            residuals=np.array([e.residual or 0.0 for e in self.pairs]),
            outliers=self.outliers.count,
            parameters=self.parameters,
            operator=self.title,
        )
