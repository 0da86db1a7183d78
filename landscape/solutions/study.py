"""What is measured of several networks, part by part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from torch import Tensor

from landscape import budget, progress
from landscape.budget import BudgetError
from landscape.connectivity.judging import Data, Judge
from landscape.connectivity.result import PathAnswer
from landscape.difference import difference
from landscape.errors import InputError
from landscape.estimate import Estimate
from landscape.paths.curves import Line
from landscape.paths.route import Route
from landscape.signals.noise import noise_scale
from landscape.signals.sample_gradients import sample_gradients
from landscape.signals.samples import Samples, UnavailableError, some_samples
from landscape.solutions.beside import beside
from landscape.solutions.lengths import cosine, length
from landscape.solutions.likeness import cka
from landscape.solutions.quality import mean, median
from landscape.solutions.result import Alike, Beside, LeftOut, Solution
from landscape.solutions.seen import Seen, look
from landscape.solutions.sharpness import Sharpness, sharpness
from landscape.subject.batches import Batches
from landscape.subject.files.checkpoint import Checkpoint
from landscape.subject.point import Point
from landscape.subject.subject import Subject

GIVEN, HELD_OUT = "the given data", "held-out data"
LEAST_SAMPLES = 3  # between which there is a noise scale
ROWS = 512  # samples whose outputs are compared


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is measured.

    Args:
        curvature: Whether λ₁ and the trace are.
        barriers: Whether the line between each two is.
        samples: Whose gradients give the noise scale; 0: none.
        points: On each line.
        loss_tolerance: Rise that still connects, over the best constant's loss.
        error_tolerance: The same of the error, as a share.
        level: Of the bands on each line.
        max_products: To spend on λ₁ of each network.
        trace_tolerance: Half-width at which the trace is good enough, relative.
        max_probes: Most random vectors for the trace.
        seed: Of every random draw.
    """

    curvature: bool
    barriers: bool
    samples: int
    points: int
    loss_tolerance: float
    error_tolerance: float
    level: float
    max_products: int
    trace_tolerance: float
    max_probes: int
    seed: int


class Study:
    """Measures networks of one subject; what cannot be had is left out with its reason.

    Args:
        subject: With all checkpoints; the caller guards it.
        checkpoints: The networks.
        initial: Where all of them began; None: not known.
        names: That tell the networks apart.
        plan: How much.
    """

    def __init__(
        self,
        subject: Subject,
        checkpoints: Sequence[Checkpoint],
        initial: Checkpoint | None,
        names: Sequence[str],
        plan: Plan,
    ) -> None:
        self._subject, self._plan = subject, plan
        self._checkpoints, self._names = list(checkpoints), list(names)
        self._initial = initial
        self._left_out: dict[str, str] = {}
        self.cut = ""  # why a budget left something out; empty: it did not
        _ = subject.count  # verifies that network, data and loss fit together

    # --- what is asked -----------------------------------------------------------------------

    def solutions(self) -> tuple[Solution, ...]:
        """Return every network by itself."""
        found = []
        with progress.task("networks", len(self._checkpoints)) as task:
            for number in range(len(self._checkpoints)):
                with budget.shared(1 + len(self._checkpoints) - number):  # one is for the pairs
                    found.append(self._solution(number))
                task.advance()
        return tuple(found)

    def pairs(self) -> tuple[Alike, ...]:
        """Return every two networks once."""
        chosen = list(combinations(range(len(self._checkpoints)), 2))
        found = []
        with progress.task("pairs", len(chosen)) as task:
            for number, (i, j) in enumerate(chosen):
                found.append(self._alike(number, i, j))
                task.advance()
        return tuple(found)

    def beside(self, solutions: Sequence[Solution]) -> tuple[Beside, ...]:
        """Return each network but the first beside it, number by number."""
        return beside(solutions, self._judging, self.judged_on, given=self._held_out is None)

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """Return what could not be had."""
        return tuple(LeftOut(part=part, reason=why) for part, why in self._left_out.items())

    @property
    def judged_on(self) -> str:
        """Return which data judge."""
        return HELD_OUT if self._subject.held_out is not None else GIVEN

    @property
    def samples(self) -> int:
        """Return how many samples judge."""
        return len(self._judging.weights)

    # --- one network -------------------------------------------------------------------------

    def _solution(self, number: int) -> Solution:
        subject = self._subject.at(self._checkpoints[number])
        given, held_out = self._given, self._held_out
        bend = self._curvature(subject)
        loss = Estimate.exact(_mean(given.losses[number], given.weights), GIVEN)
        error = None
        if given.errors is not None:
            error = Estimate.exact(_mean(given.errors[number], given.weights), GIVEN)
        outer = _quality(held_out, number) if held_out is not None else (None, None)
        theta = self._points[number].theta
        return Solution(
            name=self._names[number],
            loss=loss,
            error=error,
            held_out_loss=outer[0],
            held_out_error=outer[1],
            gap=_gap(outer[0], loss),
            error_gap=_gap(outer[1], error),
            sharpness=bend.largest if bend is not None else None,
            trace=bend.trace if bend is not None else None,
            margin=self._margin(number),
            noise_scale=self._noise(subject),
            norm=length(theta),
            from_initial=length(theta - self._start) if self._start is not None else None,
        )

    def _curvature(self, subject: Subject) -> Sharpness | None:
        if not self._plan.curvature:
            self._left_out["curvature"] = "not asked for"
            return None
        return subject.once(
            sharpness,
            max_products=self._plan.max_products,
            trace_tolerance=self._plan.trace_tolerance,
            max_probes=self._plan.max_probes,
            seed=self._plan.seed,
        )

    def _noise(self, subject: Subject) -> Estimate | None:
        """Return the noise scale, from gradients of single samples."""
        try:
            if self._plan.samples == 0:
                raise UnavailableError("not asked for")
            budget.require("the noise scale was measured")
            chosen = some_samples(subject, self._plan.samples)
            samples = Samples(subject=subject, point=subject.point, batches=chosen)
            if samples.number < LEAST_SAMPLES:
                raise UnavailableError(f"fewer than {LEAST_SAMPLES} samples")
            return noise_scale(sample_gradients(samples)).simple
        except UnavailableError as error:
            self._left_out["noise scale"] = str(error)
            return None
        except BudgetError as error:
            self._left_out["noise scale"] = self.cut = error.what
            return None

    def _margin(self, number: int) -> Estimate | None:
        margins = self._given.margins
        if margins is None:
            self._left_out["margin"] = "samples have not one label each"
            return None
        own = margins[number][np.isfinite(margins[number])]
        return median(own, "the given data; order statistics") if len(own) else None

    # --- two networks ------------------------------------------------------------------------

    def _alike(self, number: int, i: int, j: int) -> Alike:
        first, other = self._points[i].theta, self._points[j].theta
        seen = self._judging
        apart, outputs = seen.apart, seen.outputs
        if outputs is None:
            self._left_out["CKA"] = "the outputs are too few, too large or not of one size"
        path, reason = self._barrier(i, j)
        return Alike(
            a=self._names[i],
            b=self._names[j],
            distance=length(first - other),
            cosine=cosine(first, other, self._start),
            disagreement=mean(apart[number], seen.weights, "labels predicted")
            if apart is not None
            else None,
            similarity=cka(outputs[i], outputs[j]) if outputs is not None else None,
            barrier_loss=path.barrier.loss if path is not None else None,
            barrier_error=path.barrier.error if path is not None else None,
            verdict=path.verdict if path is not None else "",
            reason=reason,
        )

    def _barrier(self, i: int, j: int) -> tuple[PathAnswer | None, str]:
        """Return the straight line between two networks, as `connect` judges it."""
        if not self._plan.barriers:
            self._left_out["barriers"] = "not asked for"
            return None, ""
        a, b = self._points[i], self._points[j]
        subject = self._subject.at(self._checkpoints[j])
        try:
            route = Route(subject.network, Line(a.theta, b.theta), a, b)
        except InputError as error:
            self._left_out["barriers"] = error.what
            return None, error.what
        try:
            answer, _ = self._judge.judged(subject, route)
        except BudgetError as error:
            self._left_out["barriers"] = self.cut = error.what
            return None, error.what
        return answer, answer.reason

    # --- shared ------------------------------------------------------------------------------

    @cached_property
    def _points(self) -> list[Point]:
        return [self._subject.point_of(one) for one in self._checkpoints]

    @cached_property
    def _start(self) -> Tensor | None:
        return self._subject.point_of(self._initial).theta if self._initial is not None else None

    @cached_property
    def _given(self) -> Seen:
        return self._seen(self._subject.batches)

    @cached_property
    def _held_out(self) -> Seen | None:
        batches = self._subject.held_out
        return self._seen(batches) if batches is not None else None

    @property
    def _judging(self) -> Seen:
        return self._held_out or self._given

    @cached_property
    def _judge(self) -> Judge:
        return Judge(
            subject=self._subject,
            level=self._plan.level,
            points=self._plan.points,
            loss_share=self._plan.loss_tolerance,
            error=self._plan.error_tolerance,
            seed=self._plan.seed,
        )

    def _seen(self, batches: Batches | None) -> Seen:
        if batches is None:
            raise ValueError("networks are compared on data")
        data = Data(self._subject, batches)
        return look(self._subject, self._points, data, samples=batches.samples, rows=ROWS)


def _quality(seen: Seen, number: int) -> tuple[Estimate, Estimate | None]:
    """Return loss and error with the doubt of the samples."""
    loss = mean(seen.losses[number], seen.weights, HELD_OUT)
    if seen.errors is None:
        return loss, None
    return loss, mean(seen.errors[number], seen.weights, HELD_OUT)


def _gap(outer: Estimate | None, inner: Estimate | None) -> Estimate | None:
    """Return held out less given; the given data are those that it is about, so exact."""
    return difference(inner, outer) if outer is not None and inner is not None else None


def _mean(values: np.ndarray, weights: np.ndarray) -> float:
    return float((values * weights).sum() / weights.sum())
