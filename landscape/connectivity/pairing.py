"""One pair of networks: its paths, cheapest first, until one of them connects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from landscape import budget
from landscape.budget import BudgetError
from landscape.connectivity.alignment import Aligner, Matching
from landscape.connectivity.curves import fitted_curve, plane_loss
from landscape.connectivity.judging import Judge
from landscape.connectivity.repairing import repaired_line
from landscape.connectivity.result import JUDGED, Alignment, Pair, PathAnswer, PlaneLoss
from landscape.errors import InputError
from landscape.paths.curves import Bezier, Line
from landscape.paths.route import Route
from landscape.paths.verdict import Verdict, pair_verdict
from landscape.subject.files.checkpoint import Checkpoint
from landscape.subject.point import Point
from landscape.subject.subject import Subject

FITTED = 1.5  # two thirds of what is left of a budget are for a fit, the rest for its points
Asked = Literal["any", "line", "aligned", "curve"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Which paths are tried, and how.

    Args:
        path: Which one is asked for; any: all, until one connects.
        every: Judge all that are asked for, also when one connects.
        matching: What aligned units have in common.
        restarts: Of the matching by weights.
        repair: Tell of the aligned line with its activation statistics restored.
        bends: Of the curve.
        curve_steps: Of its fit.
        learning_rate: Of its fit.
        plane: Points along each side of the plane; 0: none.
        seed: Of every random draw.
    """

    path: Asked
    every: bool
    matching: Matching
    restarts: int
    repair: bool
    bends: int
    curve_steps: int
    learning_rate: float
    plane: int
    seed: int

    @property
    def paths(self) -> tuple[str, ...]:
        """Return the paths that are asked for, cheapest first."""
        return JUDGED if self.path == "any" else (self.path,)


@dataclass
class _Found:
    """What is known of a pair so far."""

    paths: dict[str, PathAnswer] = field(default_factory=dict[str, PathAnswer])
    verdicts: dict[str, Verdict] = field(default_factory=dict[str, Verdict])
    missing: dict[str, str] = field(default_factory=dict[str, str])
    alignment: Alignment | None = None
    plane: PlaneLoss | None = None
    cut: str = ""

    def add(self, name: str, answer: PathAnswer, verdict: Verdict) -> None:
        self.paths[name], self.verdicts[name] = answer, verdict

    @property
    def over(self) -> bool:
        """Return whether the verdict is settled for good."""
        words = {one.verdict for one in self.verdicts.values()}
        return bool(words & {"connected", "refused"})


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """The study of pairs of one subject's checkpoints.

    Args:
        subject: With all checkpoints.
        judge: Holds every path against the same tolerances.
        plan: What is tried.
        aligner: Gives what permutes, or a reason why nothing does; asked only where it is needed.
    """

    subject: Subject
    judge: Judge
    plan: Plan
    aligner: Callable[[], Aligner | str]

    def studied(self, first: Checkpoint, last: Checkpoint, names: tuple[str, str]) -> Pair:
        """Return the answer for a pair.

        Raises:
            InputError: The checkpoints differ in something that no path moves.
        """
        subject = self.subject.at(last)
        a, b = self.subject.point_of(first), self.subject.point_of(last)
        line = Route(subject.network, Line(a.theta, b.theta), a, b)
        found = _Found()
        if "line" not in self.plan.paths and (refused := self.judge.ends(subject, line)):
            found.verdicts["ends"] = refused
        for number, name in enumerate(self.plan.paths):
            if found.over and (not self.plan.every or "refused" in _words(found)):
                break
            with budget.shared(len(self.plan.paths) - number):
                self._try(name, subject, line, found)
        return self._told(names, found)

    def _try(self, name: str, subject: Subject, line: Route, found: _Found) -> None:
        """Judge one path, as far as the budget lasts."""
        a, b = line(0), line(1)
        try:
            if name == "line":
                found.add(name, *self.judge.judged(subject, line))
            elif name == "aligned":
                self._align(subject, a, b, found)
            else:
                self._bend(subject, a, b, found)
        except BudgetError as error:
            found.missing[name] = error.what
            found.cut = f"not judged: {name}, as {error.what}"
            return
        path, limit = found.paths.get(name), budget.reached()
        if path is not None and limit is not None and len(path.t) < self.judge.points:
            found.cut = found.cut or f"{limit} was spent after {len(path.t)} points of the {name}"

    def _align(self, subject: Subject, a: Point, b: Point, found: _Found) -> None:
        """Judge the line to the other network with its units permuted."""
        plan, aligner = self.plan, self.aligner()
        if isinstance(aligner, str):
            found.missing["aligned"] = aligner
            return
        moved, found.alignment = aligner.aligned(
            subject, a, b, matching=plan.matching, restarts=plan.restarts, seed=plan.seed
        )
        if changed := self.judge.changed(subject, b, moved):
            found.missing["aligned"] = changed
            return
        try:
            line = Route(subject.network, Line(a.theta, moved.theta), a, moved)
        except InputError as error:
            found.missing["aligned"] = error.what
            return
        found.add("aligned", *self.judge.judged(subject, line))
        if plan.repair:
            restored = repaired_line(subject, line, a, moved, self.judge.data)
            found.paths["repaired"] = self.judge.told(restored)

    def _bend(self, subject: Subject, a: Point, b: Point, found: _Found) -> None:
        """Judge a curve that is fitted on the training data."""
        with budget.shared(FITTED):
            curve = fitted_curve(
                subject,
                a,
                b,
                bends=self.plan.bends,
                steps=self.plan.curve_steps,
                learning_rate=self.plan.learning_rate,
                seed=self.plan.seed,
            )
        found.add("curve", *self.judge.judged(subject, Route(subject.network, curve, a, b)))
        if self.plan.plane:
            found.plane = self._plane(subject, curve, a, b)

    def _plane(self, subject: Subject, curve: Bezier, a: Point, b: Point) -> PlaneLoss | None:
        return plane_loss(subject, curve, a, b, self.judge.data, side=self.plan.plane)

    def _told(self, names: tuple[str, str], found: _Found) -> Pair:
        whole = pair_verdict(found.verdicts)
        return Pair(
            a=names[0],
            b=names[1],
            verdict=whole.verdict,
            by=whole.by,
            reason=whole.sentence or "; ".join(found.missing.values()),
            tolerance=self.judge.tolerance,
            paths=found.paths,
            missing=found.missing,
            alignment=found.alignment,
            plane=found.plane,
            cut=found.cut,
        )


def _words(found: _Found) -> set[str]:
    return {one.verdict for one in found.verdicts.values()}
