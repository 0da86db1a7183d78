"""Two numbers with their doubt held against one another: the difference, and what it says."""

from __future__ import annotations

import math
from typing import Literal

from landscape.estimate import Estimate, worst

Direction = Literal["lower", "higher"]
Word = Literal["better", "worse", "indistinguishable", "different"]

METHOD = "ends of the intervals subtracted: holds whatever both have in common"


def difference(a: Estimate, b: Estimate, *, rounding: float = 0.0) -> Estimate:
    """Return b − a, with the interval that is sure whatever the two have in common.

    Its ends are those of the intervals subtracted. As |sd(b − a)| ≤ sd(a) + sd(b) for any
    correlation, it covers at least as often as each of the two where they are normal about the
    truth, and at least 2 · level − 1 of the time whatever they are (Bonferroni).

    Args:
        a: One number.
        b: The other.
        rounding: Relative error that computing either of them may make.
    """
    value = b.value - a.value
    slack = rounding * max(abs(a.value), abs(b.value)) if math.isfinite(value) else 0.0
    low, high = b.interval[0] - a.interval[1] - slack, b.interval[1] - a.interval[0] + slack
    return Estimate(
        value=value,
        kind="exact" if low == high else "estimate",
        interval=(low, high),
        level=min(a.level, b.level),
        samples=min(a.samples, b.samples),
        status=worst(a.status, b.status),
        method=METHOD,
    )


def told_apart(difference: Estimate) -> bool:
    """Return whether a difference is not zero for all that is known: settled, and 0 outside."""
    low, high = difference.interval
    finite = math.isfinite(difference.value) and difference.status.settled
    return finite and (low > 0 or high < 0)


def verdict(difference: Estimate, direction: Direction | None) -> Word:
    """Return what b − a says of b beside a.

    Args:
        difference: b − a.
        direction: Which way is better; None: neither.
    """
    if not told_apart(difference):
        return "indistinguishable"
    if direction is None:
        return "different"
    return "better" if (difference.value < 0) == (direction == "lower") else "worse"
