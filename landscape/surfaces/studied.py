"""A surface put together: directions chosen, points evaluated, curvature held against products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from landscape import budget
from landscape.estimate import Estimate
from landscape.subject.normalisation import normalised, uses_running_statistics
from landscape.subject.subject import Subject
from landscape.surfaces.affordable import affordable_points
from landscape.surfaces.checked import Checked, checked, products_along
from landscape.surfaces.curvature import Products, exactly
from landscape.surfaces.directions import (
    Directions,
    eigenvectors,
    gradient_directions,
    natural_lengths,
    random_directions,
    uninformed_loss,
)
from landscape.surfaces.evaluation import ERROR, ERROR_DEVIATION, LOSS, LOSS_DEVIATION, Evaluator
from landscape.surfaces.frame import Frame, even
from landscape.surfaces.grid import evaluated, evaluated_checkpoints
from landscape.surfaces.plan import Plan
from landscape.surfaces.planes import Placed, curve_plane, run_plane, three_plane
from landscape.surfaces.result import NORMAL, Place, Sheet, SurfaceResult
from landscape.surfaces.samples import Samples

CENTRED = ("random", "eigenvectors", "gradient")  # about a checkpoint, not through several
CEILING = 10.0  # times what knows nothing: above it the figure clips
SKIPPED = "not asked for"
SEARCHED = 4.0  # one part in so many of a budget is for the search of eigenvectors


@dataclass(frozen=True, kw_only=True)
class _Around:
    """A surface around one checkpoint."""

    sheet: Sheet
    frame: Frame
    names: tuple[str, ...]
    checked: Checked


@dataclass(frozen=True)
class Study:
    """The study of one subject under one plan.

    Args:
        subject: With all checkpoints.
        plan: What is looked at.
        names: Of the checkpoints.
    """

    subject: Subject
    plan: Plan
    names: tuple[str, ...]

    def result(self) -> SurfaceResult:
        """Return the answer; its message tells where a budget left something out.

        Raises:
            BudgetError: A budget does not last for the fewest points.
        """
        apart = self.plan.kind in CENTRED
        sheets = len(self.subject.checkpoints) if apart else 1
        evaluator = self._evaluator(self.subject.at(self.subject.checkpoint))
        points, why = affordable_points(evaluator, self.plan, sheets)
        study = Study(self.subject, replace(self.plan, points=points), self.names)
        found = study._centred() if apart else study._through()
        unchecked = found.unchecked if self.plan.check else ""
        told = f"Its curvature was not checked: {unchecked}." if unchecked else ""
        return replace(found, message=" ".join(part for part in (why, told) if part))

    # --- about each checkpoint -----------------------------------------------------------------

    def _centred(self) -> SurfaceResult:
        subject = self.subject
        last = subject.at(subject.checkpoint)
        shared, seen = self._shared(last)
        axes = self._axes(last, seen)
        found = list[_Around]()
        for checkpoint, name in zip(subject.checkpoints, self.names, strict=True):
            own, known = subject.at(checkpoint), seen if checkpoint is subject.checkpoint else None
            with budget.shared(len(self.names) - len(found)):
                found.append(self._around(own, name, axes, shared=shared, seen=known))
        return self._answer(
            [one.sheet for one in found],
            found[-1].frame,
            found[-1].names,
            checked=(
                tuple(check for one in found for check in one.checked[0]),
                next((one.checked[1] for one in found if one.checked[1]), ""),
            ),
            in_distance=shared is not None,
        )

    def _around(
        self,
        own: Subject,
        name: str,
        axes: list[np.ndarray],
        *,
        shared: Directions | None,
        seen: Products | None,
    ) -> _Around:
        directions = shared or self._random(own)
        frame = Frame(
            centre=own.point,
            directions=directions.vectors,
            x=axes[0],
            y=axes[1] if self.plan.plane else None,
        )
        sheet = self._sheet(own, frame, name)
        return _Around(
            sheet=sheet,
            frame=frame,
            names=directions.names,
            checked=self._checked(own, directions, name, seen, points=sheet.loss.size),
        )

    def _random(self, own: Subject) -> Directions:
        plan = self.plan
        return random_directions(
            own,
            count=2 if plan.plane else plan.draws,
            normalise=plan.normalise,
            biases=plan.biases,
            seed=plan.seed,
        )

    def _shared(self, last: Subject) -> tuple[Directions | None, Products | None]:
        """Return directions that all checkpoints share, with what products say at the last."""
        plan = self.plan
        if plan.kind == "random":
            return None, None
        made = eigenvectors if plan.kind == "eigenvectors" else gradient_directions
        with budget.shared(SEARCHED):
            directions = made(last, plane=plan.plane, seed=plan.seed)
        return directions, products_along(exactly(last), directions.vectors)

    def _axes(self, last: Subject, seen: Products | None) -> list[np.ndarray]:
        plan = self.plan
        count = 2 if plan.plane else 1
        if seen is None:
            return [even(plan.points, plan.span)] * count
        lengths = natural_lengths(last, seen.curvature, rise=self._uninformed)
        return [even(plan.points, plan.span * float(length)) for length in lengths[:count]]

    # --- through several checkpoints -------------------------------------------------------------

    def _through(self) -> SurfaceResult:
        subject, plan = self.subject, self.plan
        placed = self._placed()
        centre = subject.checkpoint if plan.kind == "trajectory" else subject.checkpoints[0]
        own, name = subject.at(centre), self.names[subject.checkpoints.index(centre)]
        sheet = self._sheet(own, placed.frame, name, on_grid=False)
        directions = Directions(vectors=placed.frame.directions, names=placed.names)
        return self._answer(
            [sheet],
            placed.frame,
            placed.names,
            checked=self._checked(own, directions, name, None, points=sheet.loss.size),
            in_distance=True,
            places=self._places(placed),
            path=placed.path,
            explained=placed.explained,
        )

    def _placed(self) -> Placed:
        subject, plan, names = self.subject, self.plan, self.names
        if plan.kind == "trajectory":
            return run_plane(
                subject, dimensions=plan.dimensions, points=plan.points, span=plan.span
            )
        if plan.kind == "checkpoints":
            return three_plane(subject, names, points=plan.points, span=plan.span)
        return curve_plane(
            subject,
            names,
            points=plan.points,
            span=plan.span,
            steps=plan.curve_steps,
            learning_rate=plan.curve_learning_rate,
            seed=plan.seed,
        )

    def _places(self, placed: Placed) -> tuple[Place, ...]:
        values = evaluated_checkpoints(self._evaluator(self.subject), self.subject.checkpoints)
        found = []
        for number, name in enumerate(self.names):
            position = placed.positions[number]
            found.append(
                Place(
                    name=name,
                    x=float(position[0]),
                    y=float(position[1]) if len(position) > 1 else 0.0,
                    apart=float(placed.apart[number]),
                    loss=_estimate(values[:, number], "its own weights"),
                )
            )
        return tuple(found)

    # --- shared ---------------------------------------------------------------------------------

    @cached_property
    def _refreshes(self) -> bool:
        return self.plan.statistics == "recomputed" and uses_running_statistics(self.subject)

    @cached_property
    def _uninformed(self) -> float:
        return uninformed_loss(self.subject.at(self.subject.checkpoint))

    def _evaluator(self, subject: Subject, *, recompute: bool | None = None) -> Evaluator:
        wanted = self._refreshes if recompute is None else recompute
        whole = subject.mode == "train"  # a batch that is cut has other statistics
        return Evaluator(subject, Samples(subject, 0 if whole else self.plan.samples), wanted)

    def _sheet(self, own: Subject, frame: Frame, name: str, *, on_grid: bool = True) -> Sheet:
        evaluator = self._evaluator(own)
        values = evaluated(evaluator, frame, name=f"the loss around {name}")
        kept = evaluated_checkpoints(self._evaluator(own, recompute=False), own.checkpoints)[:, 0]
        row = 0 if frame.y is None else len(frame.y) // 2
        here = values[:, row, len(frame.x) // 2]
        losses = np.where(np.isfinite(values), values, np.nan)
        has_error = bool(np.isfinite(losses[ERROR]).any())
        return Sheet(
            checkpoint=name,
            loss=losses[LOSS],
            error=losses[ERROR] if has_error else None,
            loss_deviation=losses[LOSS_DEVIATION],
            error_deviation=losses[ERROR_DEVIATION] if has_error else None,
            lengths=frame.lengths,
            centre=_estimate(kept, "the given data, the statistics of the checkpoint"),
            here=_estimate(here, "the given data") if on_grid else None,
        )

    def _checked(
        self,
        own: Subject,
        directions: Directions,
        name: str,
        seen: Products | None,
        *,
        points: int,
    ) -> Checked:
        if not self.plan.check:
            return (), SKIPPED
        samples = self._evaluator(own).samples
        return checked(own, samples, directions, name, seen, points=points)

    def _answer(
        self,
        sheets: Sequence[Sheet],
        frame: Frame,
        names: tuple[str, ...],
        *,
        checked: Checked,
        in_distance: bool,
        places: tuple[Place, ...] = (),
        path: np.ndarray | None = None,
        explained: np.ndarray | None = None,
    ) -> SurfaceResult:
        *others, own = sheets
        plan, subject = self.plan, self.subject
        evaluator = self._evaluator(subject)
        return SurfaceResult(
            **vars(own),
            checkpoints=self.names,
            kind=plan.kind,
            normalise=plan.normalise,
            biases=plan.biases,
            statistics=self._told_statistics(),
            parameters=subject.parameters.size,
            samples=sum(batch.samples for batch in evaluator.samples),
            unit="sample" if evaluator.by_sample else "batch",
            directions=names,
            x=frame.x,
            y=frame.y,
            in_distance=in_distance,
            cosine=frame.cosine,
            others=tuple(others),
            places=places,
            path=path,
            explained=explained,
            ceiling=self._ceiling(sheets, places),
            checks=checked[0],
            unchecked=checked[1],
        )

    def _told_statistics(self) -> str:
        if not normalised(self.subject.network.model):
            return "No layer keeps statistics of batches."
        if self.subject.mode == "train":
            return "BatchNorm normalises by the batch itself (train mode)."
        if self._refreshes:
            return "BatchNorm statistics recomputed at every point."
        return "BatchNorm statistics as the checkpoint has them."

    def _ceiling(self, sheets: Sequence[Sheet], places: Sequence[Place]) -> float:
        """Return where the figure clips: well above what knows nothing and every checkpoint."""
        seen = [one.centre.value for one in sheets] + [one.loss.value for one in places]
        finite = [one for one in (*seen, self._uninformed) if np.isfinite(one)]
        ceiling = CEILING * max(finite, default=np.inf)
        highest = max(float(np.nanmax(one.loss, initial=-np.inf)) for one in sheets)
        return ceiling if highest > ceiling else np.nan


def _estimate(values: np.ndarray, method: str) -> Estimate:  # (4,)
    value, half = float(values[LOSS]), NORMAL * float(values[LOSS_DEVIATION])
    interval = (value - half, value + half)
    return Estimate(
        value=value, kind="estimate", interval=interval, sampling=interval, method=method
    )
