"""Two numbers with their doubt held against one another: the difference, and what it says."""

from __future__ import annotations

import math
from typing import Literal

from landscape.estimate import Estimate, Interval, Kind, worst

Direction = Literal["lower", "higher"]
Word = Literal["better", "worse", "indistinguishable", "different", "undecided"]

METHOD = "ends of the intervals subtracted: holds whatever both have in common"
BOUNDS = {"lower_bound": "a lower bound", "upper_bound": "an upper bound"}


def difference(a: Estimate, b: Estimate, *, rounding: float = 0.0) -> Estimate:
    """Return b − a, with the interval that is sure whatever the two have in common.

    Its ends are those of the intervals subtracted. As |sd(b − a)| ≤ sd(a) + sd(b) for any
    correlation, it covers at least as often as each of the two where they are normal about the
    truth, and at least 2 · level − 1 of the time whatever they are (Bonferroni).

    A bound may lie anywhere beyond its value: its difference from another number is a bound where
    that tells the sign, and else no number.

    Args:
        a: One number.
        b: The other.
        rounding: Relative error that computing either of them may make.
    """
    value = b.value - a.value
    slack = rounding * max(abs(a.value), abs(b.value)) if math.isfinite(value) else 0.0
    first, other = _reach(a), _reach(b)
    low, high = other[0] - first[1] - slack, other[1] - first[0] + slack
    kind: Kind = "exact" if low == high else "estimate"
    reason = None
    if BOUNDS.keys() & {a.kind, b.kind}:
        if low > 0:
            value, kind = low, "lower_bound"
        elif high < 0:
            value, kind = high, "upper_bound"
        else:
            value, reason = math.nan, "bounds do not tell which is larger"
    return Estimate(
        value=value,
        kind=kind,
        interval=(low, high),
        level=min(a.level, b.level),
        samples=min(a.samples, b.samples),
        status=worst(a.status, b.status),
        method=METHOD,
        reason=reason,
    )


def _reach(one: Estimate) -> Interval:
    """Return where a number may lie; beyond its value for a bound that names no other end."""
    low, high = one.interval
    if one.kind == "lower_bound" and high <= one.value:
        return low, math.inf
    if one.kind == "upper_bound" and low >= one.value:
        return -math.inf, high
    return low, high


def doubts(a: Estimate, b: Estimate, names: tuple[str, str]) -> str:
    """Return why the difference of two numbers decides nothing, side by side; else empty."""
    return "; ".join(
        f"{name}: {doubt}" for name, doubt in zip(names, map(_doubt, (a, b)), strict=True) if doubt
    )


def _doubt(one: Estimate) -> str:
    if not one.status.settled or not math.isfinite(one.value):
        return one.reason or one.status.words
    ends = "" if all(map(math.isfinite, one.interval)) else "its interval has no end"
    return BOUNDS.get(one.kind, ends)


def told_apart(difference: Estimate) -> bool:
    """Return whether a difference is not zero for all that is known: settled, and 0 outside."""
    low, high = difference.interval
    finite = math.isfinite(difference.value) and difference.status.settled
    return finite and (low > 0 or high < 0)


def verdict(difference: Estimate, direction: Direction | None) -> Word:
    """Return what b − a says of b beside a: `undecided` where it is not known to hold zero.

    Args:
        difference: b − a.
        direction: Which way is better; None: neither.
    """
    if not told_apart(difference):
        known = math.isfinite(difference.value) and difference.status.settled
        known = known and all(map(math.isfinite, difference.interval))
        return "indistinguishable" if known else "undecided"
    if direction is None:
        return "different"
    return "better" if (difference.value < 0) == (direction == "lower") else "worse"


def shown(difference: Estimate) -> Estimate | None:
    """Return a difference for a table: nothing where bounds leave it open."""
    return None if math.isnan(difference.value) else difference
