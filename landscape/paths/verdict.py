"""Are two networks connected by a path? Connected, barrier, inconclusive or refused."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from landscape.estimate import Estimate
from landscape.paths.barrier import Barriers, Definition
from landscape.paths.constant import Constant
from landscape.paths.evaluation import Evaluated

Word = Literal["connected", "barrier", "inconclusive", "refused"]

LOSS_SHARE = 0.05  # of the best constant prediction's loss
ERROR = 0.02  # two percentage points
LEARNED = 0.5  # of the best constant's error (regression: loss), above which an end is refused


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """How high a path may rise and still connect."""

    loss: float
    error: float | None  # a share; None for regression


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A verdict, and what would settle it.

    Args:
        verdict: The word.
        sentence: Why.
        more: How many more samples would decide, if the means stay as they are; None where the
            verdict is settled, or no number of samples would.
    """

    verdict: Word
    sentence: str
    more: int | None = None


@dataclass(frozen=True, kw_only=True)
class PairVerdict:
    """What the paths tried say of a pair; `by` names the path that connects it."""

    verdict: Word
    by: str | None
    sentence: str
    more: int | None = None


def tolerance_of(
    constant: Constant, *, loss_share: float = LOSS_SHARE, error: float = ERROR
) -> Tolerance:
    """Return the tolerances: a share of the best constant's loss, and an error."""
    return Tolerance(
        loss=loss_share * abs(constant.loss), error=None if constant.error is None else error
    )


def refusal(evaluated: Evaluated, constant: Constant) -> Verdict | None:
    """Return why a pair cannot be judged: an end that has not learned; None when both have.

    Between networks that predict nothing there is nothing to connect: an error (regression: a loss)
    above half of the best constant's.
    """
    if constant.error == 0:
        return Verdict(
            verdict="refused",
            sentence="the samples that decide are of one class, which a constant predicts as well",
        )
    values, bound, what = evaluated.loss, constant.loss, "loss"
    if evaluated.error is not None and constant.error is not None:
        values, bound, what = evaluated.error, constant.error, "error"
    for name, value in (("the first", float(values[0])), ("the second", float(values[-1]))):
        if not value <= LEARNED * bound:
            return Verdict(
                verdict="refused",
                sentence=f"{name} network has not learned: its {what} is {value:.3g}, and a "
                f"constant prediction's {bound:.3g}",
            )
    return None


def path_verdict(
    found: Barriers, tolerance: Tolerance, *, definition: Definition = "supremum"
) -> Verdict:
    """Return whether a path connects.

    Connected: the upper ends of the intervals of loss and error both lie below their tolerances
    (each is a test at half of 1 − level, and both must pass, so that no correction is due).
    Barrier: a lower end lies above one. Otherwise inconclusive. The upper end includes what the
    path may hide between the points.

    Args:
        found: Barriers of the path.
        tolerance: Loss, and error where there is one.
        definition: Of a barrier.
    """
    tests = [_Test("loss", found.loss.by(definition), tolerance.loss)]
    if found.error is not None and tolerance.error is not None:
        tests.append(_Test("error", found.error.by(definition), tolerance.error))
    for test in tests:
        if test.above:
            return Verdict(verdict="barrier", sentence=test.told("above"))
    if all(test.below for test in tests):
        told = " and ".join(test.told("below") for test in tests)
        return Verdict(verdict="connected", sentence=told)
    return _undecided(tests)


def pair_verdict(paths: Mapping[str, Verdict]) -> PairVerdict:
    """Return the verdict on a pair: connected by the first path that is, else barrier if all are.

    Args:
        paths: The paths that were asked for, by name, the simplest first.
    """
    for name, one in paths.items():
        if one.verdict in ("connected", "refused"):
            by = name if one.verdict == "connected" else None
            return PairVerdict(verdict=one.verdict, by=by, sentence=one.sentence)
    if paths and all(one.verdict == "barrier" for one in paths.values()):
        told = "; ".join(f"{name}: {one.sentence}" for name, one in paths.items())
        return PairVerdict(verdict="barrier", by=None, sentence=f"on the paths tried: {told}")
    open_ones = {name: one for name, one in paths.items() if one.verdict == "inconclusive"}
    told = "; ".join(f"{name}: {one.sentence}" for name, one in open_ones.items())
    more = [one.more for one in open_ones.values() if one.more is not None]
    return PairVerdict(verdict="inconclusive", by=None, sentence=told, more=min(more, default=None))


@dataclass(frozen=True)
class _Test:
    """A barrier against its tolerance."""

    what: str
    found: Estimate
    tolerance: float

    @property
    def below(self) -> bool:
        return self.found.interval[1] < self.tolerance

    @property
    def above(self) -> bool:
        """Return whether the barrier is certain; what is not finite on the way is one."""
        return not math.isfinite(self.found.value) or self.found.interval[0] > self.tolerance

    def more(self) -> float:
        """Return how many more samples would decide; infinite where none would.

        Half-widths shrink as 1/√N, what hides between points does not.
        """
        value, (low, high) = self.found.value, self.found.sampling or self.found.interval
        hidden = self.found.interval[1] - high if math.isfinite(high) else 0.0
        gap = self.tolerance - value - hidden
        half = high - value
        if value > self.tolerance:
            gap, half = value - self.tolerance, value - low
        if gap <= 0 or not math.isfinite(half):
            return math.inf
        return max(0.0, self.found.samples * ((half / gap) ** 2 - 1))

    def told(self, side: str) -> str:
        end = self.found.interval[0 if side == "above" else 1]
        if not math.isfinite(self.found.value):
            return f"the {self.what} is not finite on the way"
        bound = "at least" if side == "above" else "at most"
        text = f"the {self.what} rises by {bound} {end:.3g}"
        return f"{text}, {side} the tolerance {self.tolerance:.3g}"


def _undecided(tests: list[_Test]) -> Verdict:
    """Return the inconclusive verdict, with what would decide it if the means stay."""
    high = [test for test in tests if test.found.value > test.tolerance]
    needed = (
        min(test.more() for test in high)
        if high
        else max(test.more() for test in tests if not test.below)
    )
    open_ones = [test for test in tests if not test.below]
    told = " and ".join(
        f"the barrier in {test.what} is {test.found:.3g}, the tolerance {test.tolerance:.3g}"
        for test in open_ones
    )
    if not math.isfinite(needed):
        why = "no number of samples would decide: more points on the path might"
        return Verdict(verdict="inconclusive", sentence=f"{told}; {why}")
    more = math.ceil(needed)
    return Verdict(
        verdict="inconclusive",
        sentence=f"{told}; about {more:,} more samples would decide",
        more=more,
    )
