"""Extreme eigenvalues, density and trace of the curvature."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
from torch import Tensor

from landscape import budget
from landscape.answer import Result
from landscape.base import HANDED_ON_LIMIT, Diagnostic, Followed, Option, Question
from landscape.crosscheck import Opinion, second_opinion
from landscape.estimate import Estimate, worst
from landscape.linalg.density import LEAST_STEPS, SpectralMeasure, spectral_measure
from landscape.linalg.eigenpairs import Eigenpairs, eigenpairs, refuse_more_than
from landscape.linalg.krylov import krylov
from landscape.linalg.operator import LinearOperator
from landscape.linalg.trace import FIRST_PROBES, Traces, estimate_traces, expected_probes
from landscape.operators.extremes import hand_on
from landscape.spectra.answering import SHARP, Found, answer_of
from landscape.spectra.comparison import Comparison, compare
from landscape.spectra.curvature import Curvature
from landscape.spectra.dynamics import NONE, OPTIMIZER, PRECONDITIONED, Dynamics, dynamics_of
from landscape.spectra.ends import Ends, eigenvalues
from landscape.spectra.heterogeneity import (
    Heterogeneity,
    expected_products,
    layer_heterogeneity,
)
from landscape.spectra.preconditioned import preconditioned_margin
from landscape.spectra.result import SpectrumResult
from landscape.spectra.sampling import Sampled, sample
from landscape.spectra.subspace import overlap
from landscape.spectra.words import (
    LEAST_PROBES,
    left_out,
    message_of,
    reached,
    unsettled_margin,
)
from landscape.subject.subject import Subject
from landscape.work import Work

PER_PAIR = 10  # products that an eigenpair takes, about
FOR_PAIRS = 4 / 3  # by which a budget is divided for density and pairs: the rest has a quarter
GRADIENTS = 20  # over all data, of the point itself and of groups of the samples
COMPARED = 32  # random vectors through both Hessian and Gauss-Newton matrix


@dataclass(frozen=True, kw_only=True)
class Spectrum(Diagnostic[SpectrumResult]):
    """Extreme eigenvalues, density and trace of the curvature."""

    name: ClassVar[str] = "spectrum"
    result: ClassVar[type[Result]] = SpectrumResult
    question: ClassVar[Question] = "speed"
    follows: ClassVar[bool] = True
    weight: ClassVar[float] = 4.0
    presets: ClassVar = {
        "quick": {"probes": 8, "lanczos_steps": 32, "trace_tolerance": 0.2},
        "standard": {},
        "full": {"top": 20, "probes": 16, "lanczos_steps": 80, "max_probes": 2048},
    }

    operator: Annotated[
        Literal["hessian", "gauss-newton", "fisher", "empirical-fisher", "residual"],
        Option("curvature to study; residual: Hessian minus Gauss-Newton matrix"),
    ] = "hessian"
    precondition: Annotated[
        str, Option("diagonal P of P^(-1/2) H P^(-1/2): none, optimizer, or a .npy file")
    ] = NONE
    weight_decay: Annotated[float, Option("added to every eigenvalue", at_least=0)] = 0.0
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
    blocks: Annotated[bool, Option("a spectrum for every layer, and how unlike they are")] = False
    compare: Annotated[bool, Option("the Hessian beside the Gauss-Newton matrix")] = False
    crosscheck: Annotated[bool, Option("ask PyHessian for its top eigenvalue as well")] = False

    def fitted(self, subject: Subject) -> Self:
        """Return the question with no more pairs than there are parameters."""
        size = subject.parameters.size
        return replace(self, top=min(self.top, size), bottom=min(self.bottom, size))

    def expected(self, subject: Subject) -> str:
        """Return about how many products it takes at each checkpoint."""
        number = sum(self.products(subject.parameters.size))
        times = f" for each of {len(subject.checkpoints)}" if len(subject.checkpoints) > 1 else ""
        return f"about {number:,} products{times}, more where pairs or trace converge slowly"

    def work(self, subject: Subject) -> Work:
        """Return products for pairs, density, traces and a few beside them; a Krylov basis."""
        n, theta = subject.parameters.size, subject.point.theta
        pairs, density, traces = self.products(n)
        each = Work(
            products=pairs + density + traces,
            gradients=GRADIENTS,
            bytes=theta.nbytes * min(density, n),
        )
        return each.times(len(subject.checkpoints))

    def products(self, size: int) -> tuple[int, int, int]:
        """Return about how many products pairs, density and traces take, of so many parameters.

        Ten for each pair, and for the traces as many as their tolerance asks for.
        """
        pairs = min(self.top, size) + min(self.bottom, size)
        density = self.probes * min(self.lanczos_steps, size)
        return (
            PER_PAIR * pairs,
            density,
            expected_probes(tolerance=self.trace_tolerance, most=self.max_probes),
        )

    @property
    def most_probes(self) -> int:
        """Return how many probes the traces take at most."""
        return max(self.max_probes, FIRST_PROBES)

    def depends(self) -> Mapping[str, Any]:
        """Return the settings, and what is in the file of the preconditioner."""
        path = Path(self.precondition)
        if self.precondition in (NONE, OPTIMIZER) or not path.is_file():
            return vars(self)
        return {**vars(self), "file": hashlib.sha256(path.read_bytes()).hexdigest()}

    def refuse(self, subject: Subject) -> None:
        """Refuse more pairs than parameters, and a matrix or preconditioner that cannot be had."""
        curvature = self._curvature(dynamics_of(subject, self.precondition))
        for kind in (self.operator, *(("gauss-newton",) if self.compare else ())):
            _ = replace(curvature, kind=kind).of(subject)
        refuse_more_than(subject.parameters.size, self.top, self.bottom)

    def measure(self, subject: Subject) -> SpectrumResult:
        """Return the spectrum at the subject's checkpoint."""
        return self.follow(subject, None).answer

    def follow(self, subject: Subject, before: np.ndarray | None) -> Followed[SpectrumResult]:
        """Return the spectrum, its search begun at the eigenvectors of the checkpoint before."""
        dynamics = dynamics_of(subject, self.precondition)
        curvature = self._curvature(dynamics)
        operator = curvature.of(subject)
        start = _on(operator, before)
        layers = layer_slices(subject)
        left = budget.left_products()
        pairs, measure, limit, pace = self._solved(operator, start)
        traces = self._traces(operator, layers, pairs, pace)
        if self.operator == "hessian" and self.precondition == NONE and not self.weight_decay:
            hand_on(subject, pairs, seed=self.seed, tolerance=self.tolerance)
        found = Found(
            curvature=curvature,
            precondition=_told(self.precondition),
            dynamics=dynamics,
            operator=operator,
            layers=layers,
            pairs=pairs,
            measure=measure,
            traces=traces,
            sampled=self._sampled(subject, curvature, pairs, traces, pace),
        )
        heterogeneity = self._heterogeneity(operator, layers)
        comparison = self._comparison(subject, curvature)
        opinion = self._opinion(subject)
        answer = self._rescaled(answer_of(subject, found), subject, curvature)
        cut = {
            "sampling intervals": found.sampled.cut,
            "spectra of the layers": self.blocks and heterogeneity is None and len(layers) > 1,
            "comparison": self.compare and comparison is None,
            "PyHessian": self.crosscheck and opinion is None,
            "margin of λ₁(P⁻¹H)": PRECONDITIONED in answer.stability_reason,
        }
        answer = replace(
            answer,
            message=message_of(pairs, measure, traces.trace, limit, self.trace_tolerance)
            + unsettled_margin(answer.stability)
            + left_out([name for name, one in cut.items() if one], left),
            overlap=_overlap(pairs, start, self.top),
            heterogeneity=heterogeneity,
            comparison=comparison,
            crosscheck=opinion,
        )
        return Followed(answer, _left(pairs))

    def _curvature(self, dynamics: Dynamics) -> Curvature:
        return Curvature(
            kind=self.operator,
            weight_decay=self.weight_decay,
            preconditioner=dynamics.preconditioner,
            seed=self.seed,
        )

    def _solved(
        self, operator: LinearOperator, start: Tensor | None
    ) -> tuple[Eigenpairs, SpectralMeasure, str | None, float]:
        """Return pairs and density, what bound ended the search, if any, and seconds a product."""
        began = time.monotonic()
        wanted: dict[str, Any] = {
            "top": self.top,
            "bottom": self.bottom,
            "generator": self._generator(0),
            "tolerance": self.tolerance,
            "max_products": self.max_products,
        }
        generator = self._generator(1)
        with budget.shared(FOR_PAIRS):
            density = {
                "probes": self._payable(),
                "steps": self.lanczos_steps,
                "generator": generator,
            }
            if start is None or not budget.affords(PER_PAIR * (self.top + self.bottom)):
                space = krylov(operator, **density)
                pairs, measure = space.eigenpairs(**wanted), space.measure
                limit = reached(pairs)
            else:
                with budget.shared(2):
                    pairs = eigenpairs(operator, start=start, **wanted)
                    limit = reached(pairs)
                density["probes"] = self._payable()
                measure = spectral_measure(operator, **density)
        products = pairs.products + measure.probes * measure.steps
        return pairs, measure, limit, (time.monotonic() - began) / products

    def _traces(
        self,
        operator: LinearOperator,
        layers: list[tuple[str, int, int]],
        pairs: Eigenpairs,
        pace: float,
    ) -> Traces:
        with budget.shared(2):
            return estimate_traces(
                operator,
                blocks=[(first, last) for _, first, last in layers],
                generator=self._generator(2),
                known=pairs.known,
                tolerance=self.trace_tolerance,
                max_probes=self.max_probes,
                pace=pace,
            )

    def _payable(self) -> int:
        """Return how many probes the budget lasts for, with steps enough for a density."""
        left = 0 if budget.spent() else budget.left_products()
        most = self.probes if left is None else left // LEAST_STEPS
        return min(self.probes, max(LEAST_PROBES, most))

    def _sampled(
        self,
        subject: Subject,
        curvature: Curvature,
        pairs: Eigenpairs,
        traces: Traces,
        pace: float,
    ) -> Sampled:
        ends = Ends(top=eigenvalues(pairs.top, pairs), bottom=eigenvalues(pairs.bottom, pairs))
        vectors = (pairs.top.vectors, pairs.bottom.vectors)
        generator = self._generator(3)
        return sample(
            subject, curvature, ends, vectors, traces.trace, generator=generator, pace=pace
        )

    def _rescaled(
        self, answer: SpectrumResult, subject: Subject, curvature: Curvature
    ) -> SpectrumResult:
        """Return the answer with the margin of λ₁(P⁻¹H), where the optimizer's is one of that."""
        if answer.stability or self.precondition != NONE or self.operator not in SHARP:
            return answer
        margin = preconditioned_margin(
            subject,
            curvature,
            generator=self._generator(6),
            tolerance=self.tolerance,
            max_products=self.max_products,
        )
        if margin is None:
            return answer
        status = worst(answer.status, margin.margin.status)
        return replace(answer, stability=margin, stability_reason="", status=status)

    def _heterogeneity(
        self, operator: LinearOperator, layers: list[tuple[str, int, int]]
    ) -> Heterogeneity | None:
        sizes = [last - first for _, first, last in layers]
        number = expected_products(sizes, probes=self.probes, steps=self.lanczos_steps)
        if not self.blocks or not budget.affords(number):
            return None
        return layer_heterogeneity(
            operator,
            layers,
            probes=self.probes,
            steps=self.lanczos_steps,
            generator=self._generator(4),
        )

    def _comparison(self, subject: Subject, curvature: Curvature) -> Comparison | None:
        if not self.compare or not budget.affords(4 * COMPARED):
            return None
        return compare(
            replace(curvature, kind="hessian").of(subject),
            replace(curvature, kind="gauss-newton").of(subject),
            probes=COMPARED,
            generator=self._generator(5),
            max_products=self.max_products,
        )

    def _generator(self, stream: int) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed * 1009 + stream)

    def _opinion(self, subject: Subject) -> Opinion | None:
        asked = self.crosscheck and not budget.spent()
        return second_opinion(subject, seed=self.seed) if asked else None


def layer_slices(subject: Subject) -> list[tuple[str, int, int]]:
    """Return name, start and stop of every layer: the parameters that one module owns."""
    groups = groupby(subject.parameters.blocks, key=lambda block: block.name.rpartition(".")[0])
    slices = []
    for name, blocks in groups:
        members = list(blocks)
        slices.append((name or members[0].name, members[0].start, members[-1].stop))
    return slices


def _on(operator: LinearOperator, before: np.ndarray | None) -> Tensor | None:
    """Return the rows that were handed on, as vectors of the operator."""
    if before is None or before.shape[1] != operator.shape[0]:
        return None
    return torch.from_numpy(before).to(operator.device, operator.dtype)


def _left(pairs: Eigenpairs) -> np.ndarray | None:
    """Return the eigenvectors for the next checkpoint (k + k', n); None when they are too many."""
    parts = (pairs.top.vectors, pairs.bottom.vectors)
    if sum(part.nbytes for part in parts) > HANDED_ON_LIMIT:
        return None
    return torch.cat(parts).cpu().numpy()


def _overlap(pairs: Eigenpairs, before: Tensor | None, top: int) -> Estimate | None:
    if before is None:
        return None
    told = "the computed top eigenvectors of both checkpoints"
    return Estimate.exact(overlap(pairs.top.vectors, before[:top]), told)


def _told(precondition: str) -> str:
    return precondition if precondition in (NONE, OPTIMIZER) else Path(precondition).name
