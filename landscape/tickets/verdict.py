"""Whether a ticket is better than its controls, by runs that are paired by their seeds.

A difference is doubted twice: other seeds would give others (Student's t over the seeds), and so
would other samples (Student's t over the samples, of the mean over seeds). Both parts are added in
quadrature. A ticket wins when it is better than every control: an intersection–union test, each
part of which is at the full level (Berger 1982, Technometrics 24(4)). It is not better when any
control says so, and there the level is shared among the controls (Bonferroni).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import stdtrit  # pyright: ignore[reportMissingTypeStubs]

from landscape.estimate import Estimate, Status
from landscape.signals.intervals import share
from landscape.tickets.data import Judged

Word = Literal["winning", "not better", "not resolved"]
Part = Literal["better", "not better", "not resolved"]

ALONE = "of one run: the doubt of samples alone, that of seeds is not known"
MOST_SEEDS = 10_000  # that are told to be needed


@dataclass(frozen=True, kw_only=True)
class Runs:
    """The runs of an arm, one for each seed, on the same samples.

    Args:
        values: Accuracy, or minus the loss, of each run (S,): higher is better.
        samples: What each sample adds to it, so that their mean over samples is the value (S, N).
        shares: Whether the values are shares of what counts, one label a sample.
    """

    values: np.ndarray  # (S,)
    samples: np.ndarray  # (S, N)
    shares: bool

    @classmethod
    def of(cls, judged: list[Judged], *, accuracy: bool) -> Runs:
        """Return runs by their accuracy, or by minus their loss."""
        counts = judged[0].counts
        scale = len(counts) / counts.sum()
        if accuracy:
            rows = [one.counts - one.errors for one in judged if one.errors is not None]
        else:
            rows = [-one.losses for one in judged]
        values = np.array([row.sum() / counts.sum() for row in rows])
        # the influence of a sample on the ratio Σ x / Σ c, moved to its mean
        samples = np.stack(
            [scale * (row - v * counts) + v for row, v in zip(rows, values, strict=True)]
        )
        return cls(values=values, samples=samples, shares=accuracy and bool((counts == 1).all()))


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A ticket and one control.

    Args:
        control: Its name.
        difference: Ticket less control; positive is better.
        verdict: Of this pair alone.
        more_seeds: About how many would settle it; None when it is settled, or when seeds alone
            cannot.
        reason: Of the verdict, in words.
        samples_needed: About how many must judge before any number of seeds can settle it; None
            when those there are do, or when they cannot be told.
    """

    control: str
    difference: Estimate
    verdict: Part
    more_seeds: int | None
    reason: str
    samples_needed: int | None = None


@dataclass(frozen=True, kw_only=True)
class Trial:
    """The verdict on a ticket.

    Args:
        verdict: Over all controls.
        reason: In words.
        more_seeds: About how many would settle it; None as in a comparison.
        comparisons: One for each control.
    """

    verdict: Word
    reason: str
    more_seeds: int | None
    comparisons: tuple[Comparison, ...]


def judged(
    ticket: Runs, controls: dict[str, Runs], *, level: float, margin: float, unit: str
) -> Trial:
    """Return the verdict on a ticket.

    Args:
        ticket: Its runs.
        controls: By name, with the same seeds in the same order.
        level: Probability that neither verdict is given wrongly.
        margin: The least difference that matters, for "not better".
        unit: In which differences are told: `points` of a share, or `loss`.
    """
    found = tuple(
        compared(ticket, runs, name, level=level, margin=margin, shared=len(controls), unit=unit)
        for name, runs in controls.items()
    )
    lost = [one for one in found if one.verdict == "not better"]
    open_ = [one for one in found if one.verdict == "not resolved"]
    if lost:
        words = ", ".join(one.control for one in lost)
        return Trial(
            verdict="not better",
            reason=f"not better than {words}",
            more_seeds=None,
            comparisons=found,
        )
    if not open_:
        return Trial(
            verdict="winning",
            reason=f"better than {', '.join(controls)}",
            more_seeds=None,
            comparisons=found,
        )
    if all(one.difference.samples < 2 for one in open_):
        reason = f"{open_[0].reason}; at least two are needed"
        return Trial(verdict="not resolved", reason=reason, more_seeds=None, comparisons=found)
    needs = [one.more_seeds for one in open_ if one.more_seeds is not None]
    more = max(needs) if len(needs) == len(open_) else None
    told = f"about {more:,} more seeds needed" if more is not None else _hardest(open_).reason
    words = ", ".join(one.control for one in open_)
    return Trial(
        verdict="not resolved",
        reason=f"not told from {words}: {told}",
        more_seeds=more,
        comparisons=found,
    )


def _hardest(found: list[Comparison]) -> Comparison:
    """Return the comparison whose needs meet those of all: what cannot be told, then samples."""
    return max(
        found,
        key=lambda one: (
            one.more_seeds is None,
            one.samples_needed is None,
            one.samples_needed or 0,
        ),
    )


def compared(
    ticket: Runs,
    control: Runs,
    name: str,
    *,
    level: float,
    margin: float,
    shared: int,
    unit: str,
) -> Comparison:
    """Return how a ticket stands to one control."""
    pairs = ticket.values - control.values
    value = float(pairs.mean())
    samples = (ticket.samples - control.samples).mean(0)
    deviation = float(pairs.std(ddof=1)) if len(pairs) > 1 else math.inf
    spread = _spread(samples, shares=ticket.shares and control.shares)
    strict = 1 - (1 - level) / shared

    def half(at: float, seeds: int) -> float:
        return math.hypot(
            _over_seeds(deviation, seeds, at), _over_samples(spread, len(samples), at)
        )

    number = len(pairs)
    low = value - half(level, number)
    verdict: Part = "not resolved"
    if low > 0:
        verdict = "better"
    elif value + half(strict, number) < margin:
        verdict = "not better"
    more = needed = None
    alone = number < 2
    reason = f"better by {_shown(value, unit)}" if verdict == "better" else ""
    if verdict == "not better":
        reason = f"better by less than {_shown(margin, unit)}"
    if alone and math.isfinite(value):
        reason = "one seed tells nothing of others"
    elif verdict == "not resolved" and math.isfinite(value):
        more, needed, reason = _missing(
            value, deviation, spread, samples, level, strict, margin, number
        )
    seeds, held = _over_seeds(deviation, number, level), _over_samples(spread, len(samples), level)
    whole = held if alone else half(level, number)
    difference = Estimate(
        value=value,
        kind="estimate",
        interval=(value - whole, value + whole),
        level=level,
        solver=None if alone else (value - seeds, value + seeds),
        sampling=(value - held, value + held),
        samples=number,
        method=ALONE if alone else "paired by seed; doubt of seeds and of samples",
    )
    return Comparison(
        control=name,
        difference=difference,
        verdict=verdict,
        more_seeds=more,
        reason=reason or "a value is not finite",
        samples_needed=needed,
    )


def _missing(
    value: float,
    deviation: float,
    spread: float,
    samples: np.ndarray,
    level: float,
    strict: float,
    margin: float,
    seeds: int,
) -> tuple[int | None, int | None, str]:
    """Return how many more seeds, or samples in all, would settle a difference, and in words."""
    held = len(samples)
    ways = [(value, level), (margin - value, strict)]
    needed = [seeds_needed(gap, deviation, _over_samples(spread, held, at), at) for gap, at in ways]
    settled = [one for one in needed if one is not None]
    if settled:
        more = max(min(settled) - seeds, 1)
        return more, None, f"about {more:,} more seeds needed"
    gap, doubt = max(value, margin - value), _over_samples(spread, held, level)
    if doubt >= gap:
        needed = math.ceil(held * (doubt / gap) ** 2) if doubt < math.inf else None
        number = "more" if needed is None else f"about {needed:,}"
        return None, needed, f"{number} samples are needed to judge, whatever the seeds"
    return None, None, f"more than {MOST_SEEDS:,} seeds needed"


def _spread(samples: np.ndarray, *, shares: bool) -> float:
    """Return the standard error of a mean difference over samples (N,).

    Of shares, one sample is added in favour of each side: samples on which two networks agree
    entirely do not prove that they agree on others.

    Source: Agresti & Min 2005, Statistics in Medicine 24(5).
    Differs from the source: one is added to each side, and none to the samples that agree.
    """
    draws = np.append(samples, (1.0, -1.0)) if shares else samples
    return float(draws.std(ddof=1)) / math.sqrt(len(draws)) if len(draws) > 1 else math.inf


def seeds_needed(gap: float, deviation: float, held: float, level: float) -> int | None:
    """Return the least number of seeds whose interval is shorter than a gap on one side.

    Args:
        gap: To be resolved.
        deviation: Of the differences over seeds.
        held: Half-width that the samples add in quadrature, whatever the number of seeds.
        level: Of the interval.
    """
    if not gap > held or not math.isfinite(deviation):
        return None
    numbers = np.arange(2, MOST_SEEDS + 1)
    halves = stdtrit(numbers - 1, (1 + level) / 2) * deviation / np.sqrt(numbers)
    enough = numbers[np.hypot(halves, held) < gap]
    return int(enough[0]) if len(enough) else None


def mean_of(runs: Runs, *, level: float, sign: float, method: str) -> Estimate:
    """Return the mean over seeds, with the doubt of seeds and of samples.

    Args:
        runs: Of one arm.
        level: Of the interval.
        sign: −1 where the values are minus the loss.
        method: In words.
    """
    value = float(runs.values.mean())
    deviation = float(runs.values.std(ddof=1)) if len(runs.values) > 1 else math.inf
    seeds = _over_seeds(deviation, len(runs.values), level)
    below, above = _sampled(runs, value, level)
    alone = len(runs.values) < 2
    if alone:
        seeds, method = 0.0, ALONE
    low, high = value - math.hypot(seeds, below), value + math.hypot(seeds, above)
    parts = [(low, high), (value - seeds, value + seeds), (value - below, value + above)]
    if runs.shares or sign > 0:
        parts = [(max(a, 0.0), min(b, 1.0)) for a, b in parts]
    total, over_seeds, over_samples = (part if sign > 0 else (-part[1], -part[0]) for part in parts)
    return Estimate(
        value=sign * value,
        kind="estimate",
        interval=total,
        level=level,
        solver=None if alone else over_seeds,
        sampling=over_samples,
        samples=len(runs.values),
        status=Status.CONVERGED if math.isfinite(value) else Status.NOT_FINITE,
        method=method,
    )


def _sampled(runs: Runs, value: float, level: float) -> tuple[float, float]:
    """Return how far the samples leave the mean open, below and above."""
    number = runs.samples.shape[1]
    if runs.shares and math.isfinite(value):
        exact = share(round(value * number), number, "", level=level)
        return exact.value - exact.interval[0], exact.interval[1] - exact.value
    if number < 2:
        return math.inf, math.inf
    spread = float(runs.samples.mean(0).std(ddof=1)) / math.sqrt(number)
    half = _over_samples(spread, number, level)
    return half, half


def _over_seeds(deviation: float, seeds: int, level: float) -> float:
    if seeds < 2:
        return math.inf
    return float(stdtrit(seeds - 1, (1 + level) / 2)) * deviation / math.sqrt(seeds)


def _over_samples(spread: float, samples: int, level: float) -> float:
    return float(stdtrit(samples - 1, (1 + level) / 2)) * spread if samples > 1 else math.inf


def _shown(value: float, unit: str) -> str:
    return f"{100 * value:.2g} points" if unit == "points" else f"{value:.3g} in loss"
