"""Several networks side by side: quality, sharpness, distances, disagreement, barriers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Self

from landscape.answer import Result
from landscape.base import Diagnostic, Needs, Option, Question
from landscape.connectivity.labels import distinct
from landscape.errors import SettingError
from landscape.estimate import Estimate, Status, worst
from landscape.linalg.trace import expected_probes
from landscape.solutions.result import SolutionsResult
from landscape.solutions.study import Plan, Study
from landscape.subject.normalisation import uses_running_statistics
from landscape.subject.subject import Subject
from landscape.work import Work

PER_SHARPNESS = 30  # products for λ₁, about
SINGLE = 4  # gradients over the samples whose noise is looked at, about
FEW = 4  # checkpoints, beyond which a report leaves barriers to `connect`


@dataclass(frozen=True, kw_only=True)
class Solutions(Diagnostic[SolutionsResult]):
    """Several networks side by side: quality, sharpness, distances, disagreement, barriers."""

    name: ClassVar[str] = "solutions"
    result: ClassVar[type[Result]] = SolutionsResult
    question: ClassVar[Question] = "quality"
    needs: ClassVar[Needs] = Needs(checkpoints=(2, None), each=False, independent=True)
    weight: ClassVar[float] = 2.0
    presets: ClassVar = {
        "quick": {"points": 11, "samples": 64, "max_probes": 512, "trace_tolerance": 0.2},
        "standard": {},
        "full": {"points": 41, "samples": 2048, "max_probes": 2048},
    }

    initial: Annotated[
        bool, Option("the first checkpoint is where all began: distances are told from it")
    ] = False
    curvature: Annotated[bool, Option("sharpness and trace of the Hessian")] = True
    barriers: Annotated[bool, Option("the straight line between every two")] = True
    samples: Annotated[
        int, Option("samples whose gradients give the noise scale; 0: none", at_least=0)
    ] = 256
    points: Annotated[int, Option("points on each line", at_least=11)] = 25
    loss_tolerance: Annotated[
        float,
        Option("rise of the loss that still connects, over the best constant's loss", above=0),
    ] = 0.05
    error_tolerance: Annotated[
        float, Option("rise of the error that still connects, as a share", above=0, at_most=1)
    ] = 0.02
    level: Annotated[
        float, Option("probability of the bands on each line", at_least=0.5, at_most=0.9999)
    ] = 0.95
    max_products: Annotated[
        int, Option("operator products to spend on each sharpness", at_least=8)
    ] = 2000
    trace_tolerance: Annotated[
        float, Option("half-width at which the trace is good enough, relative", above=0)
    ] = 0.1
    max_probes: Annotated[int, Option("most random vectors for the trace", at_least=2)] = 512

    def fitted(self, subject: Subject) -> Self:
        """Return the question without barriers where a series makes many pairs."""
        return replace(self, barriers=self.barriers and len(subject.checkpoints) <= FEW)

    def work(self, subject: Subject) -> Work:
        """Return products and gradients at every network, and the points between every two."""
        count = len(subject.checkpoints)
        whole = subject.batches.samples if subject.batches else 1
        traces = expected_probes(tolerance=self.trace_tolerance, most=self.max_probes)
        pairs = self.barriers * count * (count - 1) // 2
        return Work(
            products=count * self.curvature * (PER_SHARPNESS + traces),
            gradients=count * SINGLE * min(self.samples, whole) / whole,
            forwards=count + pairs * self.points * (1 + uses_running_statistics(subject)),
        )

    def refuse(self, subject: Subject) -> None:
        """Refuse a single network beside the initial one."""
        count = len(subject.checkpoints)
        if self.initial and count - 1 < 2:
            raise SettingError(
                "one network beside the initial one cannot be compared",
                where="initial",
                why=f"{count} checkpoints are given, and the first is the initial one",
                hint="give a further checkpoint",
            )

    def measure(self, subject: Subject) -> SolutionsResult:
        """Return the networks side by side."""
        names = distinct(subject.checkpoints)
        first = 1 if self.initial else 0
        study = Study(
            subject,
            subject.checkpoints[first:],
            subject.checkpoints[0] if self.initial else None,
            names[first:],
            self._plan(),
        )
        solutions, pairs = study.solutions(), study.pairs()
        bends = [
            (f"{what} of {one.name}", number)
            for one in solutions
            for what, number in (("λ₁", one.sharpness), ("trace", one.trace))
            if number is not None
        ]
        cut = Status.BUDGET_SPENT if study.cut else Status.CONVERGED
        status = worst(cut, *(number.status for _, number in bends))
        return SolutionsResult(
            status=status,
            message=_message(status, study.cut, bends),
            checkpoint=", ".join(names[first:]) if len(names) <= FEW else f"{len(names)} networks",
            initial=names[0] if self.initial else None,
            judged_on=study.judged_on,
            samples=study.samples,
            solutions=solutions,
            pairs=pairs,
            beside=study.beside(solutions),
            left_out=study.left_out,
        )

    def _plan(self) -> Plan:
        return Plan(
            curvature=self.curvature,
            barriers=self.barriers,
            samples=self.samples,
            points=self.points,
            loss_tolerance=self.loss_tolerance,
            error_tolerance=self.error_tolerance,
            level=self.level,
            max_products=self.max_products,
            trace_tolerance=self.trace_tolerance,
            max_probes=self.max_probes,
            seed=self.seed,
        )


def _message(status: Status, cut: str, bends: Sequence[tuple[str, Estimate]]) -> str:
    if cut:
        return f"{cut[0].upper()}{cut[1:]}."
    if status.settled:
        return "Every number is as accurate as was asked for."
    named = ", ".join(name for name, one in bends if one.status is status)
    if status is Status.NOT_FINITE:
        return f"Not finite: {named}."
    return f"Wider than asked for: {named}; raise max_products for λ₁, max_probes for a trace."
