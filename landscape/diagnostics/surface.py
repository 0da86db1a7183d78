"""What the loss looks like around checkpoints: along lines, or over a plane."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from landscape.answer import Result
from landscape.base import Diagnostic, Needs, Option, Question
from landscape.connectivity.labels import distinct
from landscape.errors import SettingError
from landscape.estimate import Status
from landscape.subject.normalisation import SAMPLES, uses_running_statistics
from landscape.subject.subject import Subject
from landscape.surfaces.plan import Plan, Statistics
from landscape.surfaces.planes import refuse_unplaced
from landscape.surfaces.result import SurfaceResult
from landscape.surfaces.samples import Samples
from landscape.surfaces.studied import Study
from landscape.work import Work

APART = ("random", "eigenvectors", "gradient")  # about each checkpoint by itself
CHECKED, PER_EIGENVECTORS = 2, 200  # products of a sheet's checks, and of a search, about
DIFFERENCES = 60  # losses of a sheet's checks
RUN = 3  # checkpoints from which on a report shows their run


@dataclass(frozen=True, kw_only=True)
class Surface(Diagnostic[SurfaceResult]):
    """What the loss looks like around checkpoints: along lines, or over a plane."""

    name: ClassVar[str] = "surface"
    result: ClassVar[type[Result]] = SurfaceResult
    question: ClassVar[Question] = "quality"
    weight: ClassVar[float] = 2.0
    needs: ClassVar[Needs] = Needs(checkpoints=(1, None), each=False)
    presets: ClassVar = {
        "quick": {"points": 21, "samples": 500},
        "standard": {},
        "full": {"points": 51},
    }

    directions: Annotated[
        Literal["random", "eigenvectors", "gradient", "trajectory", "checkpoints", "curve"],
        Option(
            "about each checkpoint: random, eigenvectors, gradient; through several: trajectory "
            "(a run), checkpoints (three), curve (two)"
        ),
    ] = "random"
    dimensions: Annotated[int, Option("1: lines, 2: a plane", at_least=1, at_most=2)] = 2
    points: Annotated[
        int, Option("points along each axis, an odd number", at_least=3, at_most=1001)
    ] = 31
    span: Annotated[
        float,
        Option("reach of the axes, relative: 1 is as far as the weights are long", above=0),
    ] = 1.0
    draws: Annotated[int, Option("random lines that are averaged", at_least=1)] = 5
    normalise: Annotated[
        Literal["filter", "layer", "none"],
        Option("what of a random direction is as long as the weights: every filter, every tensor"),
    ] = "filter"
    biases: Annotated[
        bool, Option("random directions move biases and normalisation parameters too")
    ] = False
    statistics: Annotated[
        Literal["auto", "recomputed", "kept"],
        Option(
            "of BatchNorm, at every point; auto: kept along eigenvectors and gradients, which are "
            "those of fixed statistics, else recomputed"
        ),
    ] = "auto"
    samples: Annotated[
        int, Option("samples that the surface is evaluated on; 0: all", at_least=0)
    ] = 0
    unchecked: Annotated[bool, Option("do not hold its curvature against Hessian products")] = False
    curve_steps: Annotated[int, Option("minibatches that the curve is fitted on", at_least=1)] = (
        2000
    )
    curve_learning_rate: Annotated[float, Option("of the curve's fit", above=0)] = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.points % 2 == 0:
            raise SettingError(
                f"an odd number of points is needed, got {self.points}",
                where="Surface.points",
                why="the checkpoint itself is one of them, in the middle",
                hint=f"ask for {self.points + 1}",
            )
        if self.dimensions == 1 and self.directions in ("checkpoints", "curve"):
            raise SettingError(
                f"--directions {self.directions} is a plane",
                where="Surface.dimensions",
                why="one dimension was asked for",
                hint="leave --dimensions at 2; `landscape connect` shows the loss on a path",
            )

    def fitted(self, subject: Subject) -> Self:
        """Return the question about all checkpoints at once where there are many of them.

        Three from several folders span a plane; more, or those of one run, are seen along it.
        """
        count = len(subject.checkpoints)
        if count < RUN or self.directions != "random" or self.dimensions == 1:
            return self
        folders = {Path(one.path).parent for one in subject.checkpoints if one.path is not None}
        plane = count == RUN and len(folders) > 1
        return replace(self, directions="checkpoints" if plane else "trajectory")

    def expected(self, subject: Subject) -> str:
        """Return at how many points the loss is evaluated."""
        sheets = self._sheets(subject)
        lines = self.points if self.dimensions == 2 else self.draws
        whole = subject.batches.samples if subject.batches else self.samples
        told = f"{self.samples:,}" if 0 < self.samples < whole else f"all {whole:,}"
        return f"the loss at {sheets * lines * self.points:,} points, on {told} samples"

    def work(self, subject: Subject) -> Work:
        """Return a pass for every point, and one more where statistics are recomputed.

        A few samples of every batch take as many calls of the network as all of them.
        """
        whole = subject.batches.samples if subject.batches else 1
        share = min(self.samples or whole, whole) / whole
        passes = share
        if self._policy == "recomputed" and uses_running_statistics(subject):
            passes += min(SAMPLES, whole) / whole
        sheets = self._sheets(subject)
        lines = self.points if self.dimensions == 2 else self.draws
        points = sheets * lines * self.points
        checks = 0 if self.unchecked else sheets
        searched = PER_EIGENVECTORS * (self.directions == "eigenvectors")
        return Work(
            forwards=points * passes + checks * DIFFERENCES * share,
            calls=(points + checks * DIFFERENCES)
            * (1 - share)
            * len(Samples(subject, self.samples)),
            products=searched + CHECKED * checks,
            steps=self.curve_steps if self.directions == "curve" else 0,
        )

    def _sheets(self, subject: Subject) -> int:
        return len(subject.checkpoints) if self.directions in APART else 1

    @property
    def _policy(self) -> Statistics:
        if self.statistics != "auto":
            return self.statistics
        return "kept" if self.directions in ("eigenvectors", "gradient") else "recomputed"

    def refuse(self, subject: Subject) -> None:
        """Refuse checkpoints through which no such line or plane leads."""
        refuse_unplaced(subject, self.directions, dimensions=self.dimensions)

    def measure(self, subject: Subject) -> SurfaceResult:
        """Return the surfaces of a subject's checkpoints."""
        plan = Plan(
            kind=self.directions,
            dimensions=self.dimensions,
            points=self.points,
            span=self.span,
            draws=self.draws,
            normalise=self.normalise,
            biases=self.biases,
            statistics=self._policy,
            samples=self.samples,
            check=not self.unchecked,
            curve_steps=self.curve_steps,
            curve_learning_rate=self.curve_learning_rate,
            seed=self.seed,
        )
        found = Study(subject, plan, distinct(subject.checkpoints)).result()
        status, message = _status(found)
        return replace(found, status=status, message=message)


def _status(found: SurfaceResult) -> tuple[Status, str]:
    """Return how the study ended; cells that are not finite are marked, not an error."""
    if all(one.infinite.all() for one in found.sheets):
        return Status.NOT_FINITE, "The loss is finite nowhere on the surface."
    if found.message:
        return Status.BUDGET_SPENT, found.message
    cells = sum(int(one.infinite.sum()) for one in found.sheets)
    told = f"The loss is not finite in {cells:,} cells, which are marked." if cells else ""
    return Status.CONVERGED, told
