"""A path evaluated and judged: on the data that decide, and on the training data beside them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from landscape.connectivity.result import (
    Band,
    Barrier,
    Definitions,
    Fitted,
    PathAnswer,
)
from landscape.paths import barrier as heights
from landscape.paths.barrier import Barriers, barriers
from landscape.paths.constant import Constant, best_constant
from landscape.paths.evaluation import Evaluated, evaluate
from landscape.paths.route import Route
from landscape.paths.scan import scan
from landscape.paths.verdict import Tolerance, Verdict, path_verdict, refusal, tolerance_of
from landscape.subject.batch import Batch
from landscape.subject.batches import Batches
from landscape.subject.point import Point
from landscape.subject.subject import Subject

SAME = 1e-2  # of tolerance and loss, by which rounding may move the loss of a sample


@dataclass(frozen=True)
class Data:
    """Batches on the device of a subject, to be gone through again and again."""

    subject: Subject
    batches: Batches

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches."""
        return iter(self.batches.on(self.subject.device, self.subject.dtype))


@dataclass(frozen=True, kw_only=True)
class Judge:
    """What paths of a network are held against.

    Args:
        subject: Whose network and data.
        level: Of the simultaneous bands.
        points: On a path.
        loss_share: Of the best constant prediction's loss, that is tolerated.
        error: That is tolerated, as a share.
        seed: Of the bands.
    """

    subject: Subject
    level: float
    points: int
    loss_share: float
    error: float
    seed: int

    @cached_property
    def data(self) -> Data:
        """Return the data that decide: those held out, where there are any."""
        return Data(self.subject, self.subject.held_out or self._training)

    @property
    def held_out(self) -> bool:
        """Return whether the verdict rests on held-out data."""
        return self.subject.held_out is not None

    @property
    def samples(self) -> int:
        """Return how many samples decide."""
        return self.data.batches.samples

    @cached_property
    def constant(self) -> Constant:
        """Return the best constant prediction on the data that decide."""
        return best_constant(self.subject, self.data)

    @property
    def tolerance(self) -> Tolerance:
        """Return what a barrier may be."""
        return tolerance_of(self.constant, loss_share=self.loss_share, error=self.error)

    def ends(self, subject: Subject, route: Route) -> Verdict | None:
        """Return why the ends of a route cannot be judged, or None. Cost: two points."""
        return refusal(evaluate(subject, route, [0.0, 1.0], self.data, stale=False), self.constant)

    def changed(self, subject: Subject, given: Point, moved: Point) -> str:
        """Return how a network that should be the same is another; empty when it is the same.

        The graph that a permutation is read from is that of a few samples. Here the losses of all
        are compared: of those that decide, and of those that matching and REPAIR look at.

        Cost: two points on the data.
        """
        pair = (given, moved)
        for batches in {id(one): one for one in (self.data.batches, self._training)}.values():
            data = Data(self.subject, batches)
            found = evaluate(subject, lambda t: pair[int(t)], [0, 1], data, refresh=False).losses
            limit = SAME * (self.tolerance.loss + np.abs(found[0]))
            apart = ~(np.abs(found[1] - found[0]) <= limit)
            if apart.any():
                worst = float(np.nanmax(np.abs(found[1] - found[0])))
                return (
                    f"permuting the units changes the loss of {int(apart.sum()):,} of "
                    f"{apart.size:,} samples, by up to {worst:.2g}: the network does other things "
                    "with them than with the first samples, from which its graph was read"
                )
        return ""

    def scanned(self, subject: Subject, route: Route, data: Data | None = None) -> Evaluated:
        """Return what every sample loses along a route."""
        data = data or self.data
        name = f"{route.digest} {data.batches.hash}"
        return scan(subject, route, data, name=name, count=self.points)

    def judged(
        self, subject: Subject, route: Route, found: Evaluated | None = None
    ) -> tuple[PathAnswer, Verdict]:
        """Return the answer for a route and its verdict.

        Args:
            subject: At one checkpoint, under whose weights the points are remembered.
            route: The path.
            found: What was evaluated on it already.
        """
        found = found or self.scanned(subject, route)
        refused = refusal(found, self.constant)
        heights = self._barriers(found)
        verdict = refused or path_verdict(heights, self.tolerance)
        stretch = route.curve.stretch
        return answered(
            found,
            heights,
            verdict,
            length=stretch if math.isfinite(stretch) else 1.0,
            training=self._fitted(subject, route) if self.held_out else None,
        ), verdict

    def told(self, found: Evaluated) -> PathAnswer:
        """Return the answer for points that are no path of their own through weight space."""
        heights = self._barriers(found)
        verdict = refusal(found, self.constant) or path_verdict(heights, self.tolerance)
        return answered(found, heights, verdict, length=1.0, training=None)

    @property
    def _training(self) -> Batches:
        batches = self.subject.batches
        if batches is None:
            raise ValueError("a judge needs data")
        return batches

    def _barriers(self, found: Evaluated) -> Barriers:
        generator = torch.Generator().manual_seed(self.seed)
        return barriers(found, generator=generator, level=self.level)

    def _fitted(self, subject: Subject, route: Route) -> Fitted:
        data = Data(self.subject, self._training)
        found = self.scanned(subject, route, data)
        heights = self._barriers(found)
        constant = best_constant(self.subject, data)
        tolerance = tolerance_of(constant, loss_share=self.loss_share, error=self.error)
        return Fitted(
            t=found.t,
            loss=found.loss,
            error=found.error,
            barrier=_barrier(heights),
            verdict=path_verdict(heights, tolerance).verdict,
        )


def answered(
    found: Evaluated,
    heights: Barriers,
    verdict: Verdict,
    *,
    length: float,
    training: Fitted | None,
) -> PathAnswer:
    """Return what is told of a path."""
    error = heights.error
    return PathAnswer(
        t=found.t,
        loss=found.loss,
        error=found.error,
        loss_band=Band(lower=heights.loss.lower, upper=heights.loss.upper),
        error_band=Band(lower=error.lower, upper=error.upper) if error is not None else None,
        barrier=_barrier(heights),
        argmax=heights.loss.argmax,
        verdict=verdict.verdict,
        reason=verdict.sentence,
        more_samples=verdict.more,
        loss_definitions=_definitions(heights.loss),
        error_definitions=_definitions(error) if error is not None else None,
        hidden=heights.loss.hidden,
        stale=found.stale,
        length=length,
        training=training,
    )


def _barrier(found: Barriers) -> Barrier:
    error = found.error.supremum if found.error is not None else None
    return Barrier(loss=found.loss.supremum, error=error)


def _definitions(found: heights.Barrier) -> Definitions:
    return Definitions(
        supremum=found.supremum, mean=found.mean, maximum=found.maximum, midpoint=found.midpoint
    )
