"""Extreme eigenvalues, density and trace of the curvature."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

import numpy as np
import torch

from landscape.answer import Finding, Result, Table
from landscape.base import Diagnostic, Option, Question
from landscape.crosscheck import Opinion, second_opinion
from landscape.estimate import Estimate, Status, worst
from landscape.figures.spectrum import SpectrumInk, draw_spectrum
from landscape.linalg.density import Density, Distribution, bulk_grid, even_grid, spectral_measure
from landscape.linalg.eigenpairs import Eigenpairs, Pairs, eigenpairs
from landscape.linalg.operator import LinearOperator
from landscape.linalg.trace import Traces, estimate_traces
from landscape.operators.gauss_newton import GaussNewtonOperator
from landscape.operators.hessian import HessianOperator
from landscape.subject.subject import Subject

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMES = {"hessian": "Hessian", "gauss-newton": "Gauss-Newton matrix"}
CLEAR_GAP = 1.5  # ratio of neighbours from which on a gap in the top eigenvalues is called clear


@dataclass(frozen=True, kw_only=True)
class Ends:
    """Eigenvalues at both ends, the extreme one first."""

    top: tuple[Estimate, ...]  # descending
    bottom: tuple[Estimate, ...]  # ascending


@dataclass(frozen=True, kw_only=True)
class Outliers:
    """How many top eigenvalues stand apart from the rest.

    The count is where the largest ratio of neighbours lies; zero when no gap is clear.
    """

    count: int
    gap_ratio: float


@dataclass(frozen=True, kw_only=True)
class LayerTrace:
    """The trace of one layer's diagonal block."""

    name: str
    parameters: int
    trace: Estimate


@dataclass(frozen=True, kw_only=True)
class SpectrumResult(Result):
    """The spectrum of one curvature operator at one checkpoint."""

    name: ClassVar[str] = "spectrum"

    operator: str
    checkpoint: str
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
    condition: Estimate
    outliers: Outliers
    layers: tuple[LayerTrace, ...]
    tolerance: float
    symmetry_defect: float
    orthogonality: float
    searches: int
    differentiation: str
    probes: int
    lanczos_steps: int
    crosscheck: Opinion | None

    def summary(self) -> str:
        """Return the answer in one or two lines."""
        top, bottom = self.eigenvalues.top[0], self.eigenvalues.bottom
        low = f", λ_min {bottom[0]}" if bottom else ""
        return (
            f"{NAMES[self.operator]} of {self.checkpoint}, {self.parameters:,} parameters: "
            f"λ_max {top}{low}, trace {self.trace}, effective rank {self.effective_rank:.3g}"
        )

    def draw(self, axes: Axes, *, label: str | None = None, colour: str | None = None) -> None:
        """Draw the density on a log axis with the eigenvalues found and their residuals."""
        draw_spectrum(axes, self._ink(), label=label, colour=colour)

    def _extremes(self) -> tuple[Estimate, ...]:
        return self.eigenvalues.top[:1] + self.eigenvalues.bottom[:1]

    def headline(self) -> tuple[tuple[str, Estimate], ...]:
        """Return both ends, trace, effective rank and condition."""
        ends = zip(("λ_max", "λ_min"), self._extremes(), strict=False)
        rank = ("effective rank", self.effective_rank)
        return (*ends, ("trace", self.trace), rank, ("condition", self.condition))

    def _ink(self) -> SpectrumInk:
        finer = self._ink_of(self.bulk) if self.bulk is not None else None
        return replace(self._ink_of(self.density), finer=finer)

    def _ink_of(self, density: Density) -> SpectrumInk:
        ends = (*self.eigenvalues.top, *self.eigenvalues.bottom)
        return SpectrumInk(
            grid=density.grid,
            value=density.value,
            lower=density.lower,
            upper=density.upper,
            eigenvalues=np.array([e.value for e in ends]),
            residuals=np.array([e.residual or 0.0 for e in ends]),
            outliers=self.outliers.count,
            parameters=self.parameters,
            operator=self.operator,
        )

    def caption(self) -> str:
        """Return method and cost."""
        pairs = len(self.eigenvalues.top) + len(self.eigenvalues.bottom)
        complete = "complete" if self.complete else "not known to be complete"
        return (
            f"{NAMES[self.operator]} of the mean loss, n = {self.parameters:,}. Curve: stochastic "
            f"Lanczos quadrature, {self.probes} probes × {self.lanczos_steps} steps, Gaussian "
            f"kernel σ ≥ {self.density.width:.2g}; band: pointwise 95 %. Marks: {pairs} "
            f"eigenvalues, {complete}; whiskers: ‖Hv − λv‖. {self.cost.products:,} products, "
            f"{self.cost.seconds:.1f} s, seed {self.seed}."
        )

    def tables(self) -> tuple[Table, ...]:
        """Return the eigenvalues, the scalars and the traces of the layers."""
        pairs = [
            (end, i + 1, e, e.residual, e.status.value)
            for end, values in (("top", self.eigenvalues.top), ("bottom", self.eigenvalues.bottom))
            for i, e in enumerate(values)
        ]
        scalars = [
            *(("λ_min" if end else "λ_max", one) for end, one in enumerate(self._extremes())),
            ("loss", self.loss),
            ("gradient norm", self.gradient_norm),
            ("trace", self.trace),
            ("squared Frobenius norm", self.frobenius_squared),
            ("effective rank (Σ|λ|)²/Σλ²", self.effective_rank),
            ("condition λ_max / median |λ|", self.condition),
            ("outliers above the largest gap", self.outliers.count),
            ("ratio at that gap", self.outliers.gap_ratio),
        ]
        if self.crosscheck is not None:
            scalars.append(("largest |λ| by PyHessian", self.crosscheck.told))
        layers = [(one.name, one.parameters, one.trace) for one in self.layers]
        return (
            Table("Summary", ("quantity", "value"), tuple(scalars)),
            Table("Eigenvalues", ("end", "rank", "λ", "‖Hv − λv‖", "status"), tuple(pairs)),
            Table("Trace per layer", ("layer", "parameters", "trace"), tuple(layers)),
        )

    def findings(self) -> tuple[Finding, ...]:
        """Return what a reader should not miss."""
        candidates = (self._unsettled(), self._saddle(), self._outlying(), self._disagreement())
        return tuple(finding for finding in candidates if finding is not None)

    def _unsettled(self) -> Finding | None:
        ends = (*self.eigenvalues.top, *self.eigenvalues.bottom)
        unsettled = sum(not e.status.settled for e in ends)
        if self.complete and not unsettled:
            return None
        return Finding(
            severity="warning",
            sentence="Not every eigenvalue converged, or a pair may have been missed.",
            evidence=f"{unsettled} of {len(ends)} pairs unconverged; complete: {self.complete}.",
            advice="Raise max_products, or ask for fewer eigenvalues.",
        )

    def _saddle(self) -> Finding | None:
        if not self.eigenvalues.bottom:
            return None
        low, high = self.eigenvalues.bottom[0], self.eigenvalues.top[0]
        share = -low.value / max(abs(high.value), 1e-300)
        if low.interval[1] >= 0 or share < 0.01:
            return None
        return Finding(
            severity="notable",
            sentence=(
                f"{self.checkpoint} is not at a minimum: the loss falls along a direction of "
                f"curvature {low}."
            ),
            evidence=f"λ_min is {share:.1%} of λ_max ({high}) in size; its residual excludes 0.",
            advice="Train on, or step along that direction; do not read it as a minimum.",
        )

    def _outlying(self) -> Finding | None:
        if not self.outliers.count:
            return None
        top = self.eigenvalues.top
        return Finding(
            severity="notable",
            sentence=(
                f"Eigenvalues that stand apart: {self.outliers.count}. The curvature is "
                f"concentrated in few directions (λ_max {top[0]})."
            ),
            evidence=(
                f"The ratio across the largest gap is {self.outliers.gap_ratio:.2f}; effective "
                f"rank {self.effective_rank:.3g} of {self.parameters:,}."
            ),
            advice=(
                "Plain gradient descent is stable only up to a learning rate of 2/λ_max = "
                f"{2 / top[0].value:.3g}; the other directions then move slowly."
            ),
        )

    def _disagreement(self) -> Finding | None:
        if self.crosscheck is None or self.crosscheck.value is None:
            return None
        ours, theirs = self.eigenvalues.top[0], self.crosscheck.value
        low = self.eigenvalues.bottom[0] if self.eigenvalues.bottom else ours
        nearest = min((ours, low), key=lambda e: abs(e.value - theirs))
        if abs(nearest.value - theirs) <= 0.02 * abs(ours.value):
            return None
        return Finding(
            severity="warning",
            sentence=f"PyHessian's top eigenvalue {theirs:.4g} differs from {ours}.",
            evidence="PyHessian reports no residual; ours is listed with its own.",
            advice="Trust the pair that has a residual; PyHessian weighs ragged batches alike.",
        )

    def trust(self) -> tuple[tuple[str, str], ...]:
        """Return what the numbers rest on."""
        ends = (*self.eigenvalues.top, *self.eigenvalues.bottom)
        largest = max((e.residual or 0.0 for e in ends), default=0.0)
        rows = [
            ("eigenpairs settled", f"{sum(e.status.settled for e in ends)} of {len(ends)}"),
            ("largest true residual", f"{largest:.2g} (asked for {self.tolerance:.2g})"),
            ("complete", f"{'yes' if self.complete else 'no'}, after {self.searches} searches"),
            ("symmetry defect (noise floor)", f"{self.symmetry_defect:.2g}"),
            ("orthogonality max |VVᵀ − I|", f"{self.orthogonality:.2g}"),
            ("density", f"{self.probes} probes × {self.lanczos_steps} steps"),
            ("trace", f"{self.trace.samples} probes, {self.trace.status.value}"),
            ("products computed by", self.differentiation),
        ]
        if self.crosscheck is not None:
            rows.append(("PyHessian", self.crosscheck.told))
        return tuple(rows)


@dataclass(frozen=True, kw_only=True)
class Spectrum(Diagnostic[SpectrumResult]):
    """Extreme eigenvalues, density and trace of the curvature."""

    name: ClassVar[str] = "spectrum"
    result: ClassVar[type[Result]] = SpectrumResult
    question: ClassVar[Question] = "speed"
    presets: ClassVar = {
        "quick": {"probes": 8, "lanczos_steps": 32, "trace_tolerance": 0.2},
        "standard": {},
        "full": {"top": 20, "probes": 16, "lanczos_steps": 80, "max_probes": 2048},
    }

    operator: Annotated[Literal["hessian", "gauss-newton"], Option("curvature to study")] = (
        "hessian"
    )
    top: Annotated[int, Option("eigenvalues at the upper end", at_least=1)] = 10
    bottom: Annotated[int, Option("eigenvalues at the lower end", at_least=0)] = 3
    tolerance: Annotated[
        float, Option("largest residual of a pair, relative to the largest |λ|", above=0, at_most=1)
    ] = 1e-4
    max_products: Annotated[int, Option("operator products to spend on pairs", at_least=8)] = 4000
    probes: Annotated[int, Option("random vectors for the density", at_least=2)] = 8
    lanczos_steps: Annotated[int, Option("Lanczos steps for each of them", at_least=2)] = 48
    trace_tolerance: Annotated[
        float, Option("half-width at which the trace is good enough, relative", above=0)
    ] = 0.1
    max_probes: Annotated[int, Option("most random vectors for the trace", at_least=2)] = 512
    crosscheck: Annotated[bool, Option("ask PyHessian for its top eigenvalue as well")] = False

    def fitted(self, subject: Subject) -> Self:
        """Return the question with no more pairs than there are parameters."""
        size = subject.parameters.size
        return replace(self, top=min(self.top, size), bottom=min(self.bottom, size))

    def measure(self, subject: Subject) -> SpectrumResult:
        """Return the spectrum at the subject's checkpoint."""
        operator = self._operator(subject)
        pairs = eigenpairs(
            operator,
            top=self.top,
            bottom=self.bottom,
            generator=self._generator(0),
            tolerance=self.tolerance,
            max_products=self.max_products,
        )
        measure = spectral_measure(
            operator, probes=self.probes, steps=self.lanczos_steps, generator=self._generator(1)
        )
        layers = layer_slices(subject)
        traces = estimate_traces(
            operator,
            blocks=[(start, stop) for _, start, stop in layers],
            generator=self._generator(2),
            known=pairs.known,
            tolerance=self.trace_tolerance,
            max_probes=self.max_probes,
        )
        top = _estimates(pairs.top, pairs)
        (grid, width), bulk = even_grid(measure), bulk_grid(measure)
        return SpectrumResult(
            status=worst(pairs.status, traces.trace.status),
            message=_message(pairs, traces),
            operator=self.operator,
            checkpoint=subject.checkpoint.label,
            parameters=operator.shape[0],
            loss=Estimate.exact(subject.once(mean_loss), "the given data"),
            gradient_norm=Estimate.exact(subject.once(gradient_norm), "the given data"),
            complete=pairs.complete,
            eigenvalues=Ends(top=top, bottom=_estimates(pairs.bottom, pairs)),
            trace=traces.trace,
            frobenius_squared=traces.frobenius_squared,
            density=measure.density(grid, width),
            bulk=measure.density(*bulk) if bulk is not None else None,
            distribution=measure.distribution(grid),
            effective_rank=measure.effective_rank(),
            condition=_condition(top[0], measure.quantile_of_magnitude(0.5), self.probes),
            outliers=_outliers(pairs.top.values),
            layers=tuple(
                LayerTrace(name=name, parameters=stop - start, trace=trace)
                for (name, start, stop), trace in zip(layers, traces.blocks, strict=True)
            ),
            tolerance=pairs.tolerance,
            symmetry_defect=pairs.symmetry_defect,
            orthogonality=pairs.orthogonality,
            searches=pairs.searches,
            differentiation=getattr(operator, "way", None) or "linearised outputs",
            probes=self.probes,
            lanczos_steps=min(self.lanczos_steps, operator.shape[0]),
            crosscheck=self._opinion(subject),
        )

    def _operator(self, subject: Subject) -> LinearOperator:
        kinds: dict[str, Callable[[Subject], LinearOperator]] = {
            "hessian": HessianOperator,
            "gauss-newton": GaussNewtonOperator,
        }
        return kinds[self.operator](subject)

    def _generator(self, stream: int) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed * 1009 + stream)

    def _opinion(self, subject: Subject) -> Opinion | None:
        return second_opinion(subject, seed=self.seed) if self.crosscheck else None


def mean_loss(subject: Subject) -> float:
    """Return the mean loss at the subject's checkpoint."""
    return subject.loss(subject.point)


def gradient_norm(subject: Subject) -> float:
    """Return the length of the gradient at the subject's checkpoint."""
    return float(torch.linalg.vector_norm(subject.gradient(subject.point), dtype=torch.float64))


def layer_slices(subject: Subject) -> list[tuple[str, int, int]]:
    """Return name, start and stop of every layer: the parameters that one module owns."""
    groups = groupby(subject.parameters.blocks, key=lambda block: block.name.rpartition(".")[0])
    slices = []
    for name, blocks in groups:
        members = list(blocks)
        slices.append((name or members[0].name, members[0].start, members[-1].stop))
    return slices


def _estimates(pairs: Pairs, run: Eigenpairs) -> tuple[Estimate, ...]:
    return tuple(
        Estimate(
            value=float(value),
            kind="estimate",
            interval=(float(value - residual), float(value + residual)),
            level=1.0,
            solver=(float(value - residual), float(value + residual)),
            residual=float(residual),
            status=Status.CONVERGED if residual <= run.tolerance else Status.BUDGET_SPENT,
            method="thick-restart Lanczos; an eigenvalue lies within the residual",
        )
        for value, residual in zip(pairs.values, pairs.residuals, strict=True)
    )


def _outliers(top: np.ndarray) -> Outliers:
    positive = top[top > 0]
    if len(positive) < 2:
        return Outliers(count=0, gap_ratio=1.0)
    ratios = positive[:-1] / positive[1:]
    largest = int(np.argmax(ratios))
    ratio = float(ratios[largest])
    return Outliers(count=largest + 1 if ratio >= CLEAR_GAP else 0, gap_ratio=ratio)


def _condition(top: Estimate, median: tuple[float, float], probes: int) -> Estimate:
    """Return λ_max over the median |λ|; a lower bound where that cannot be told from zero."""
    low, high = (abs(top.value) / m if m > 0 else math.inf for m in reversed(median))
    bounded = math.isfinite(high)
    return Estimate(
        value=math.sqrt(low * high) if bounded else low,
        kind="estimate" if bounded else "lower_bound",
        interval=(low, high),
        solver=(low, high),
        samples=probes,
        method="largest eigenvalue over the median |λ| of the density's simultaneous band",
    )


def _message(pairs: Eigenpairs, traces: Traces) -> str:
    parts = []
    if not pairs.complete or not pairs.status.settled:
        parts.append("Pairs: the budget was spent first; raise max_products.")
    if not traces.trace.status.settled:
        parts.append("Trace: the interval is wider than asked for; raise max_probes.")
    return " ".join(parts) or "Every pair converged, none was missed, and the trace is as asked."
