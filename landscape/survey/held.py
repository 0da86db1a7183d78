"""One comparison of two ways to one number, and what all comparisons share."""

from __future__ import annotations

from dataclasses import dataclass

from landscape.estimate import Estimate, Interval

ROUNDING = 1e-3  # relative, of the same number computed in two ways in single precision
DOCTOR = "Run `landscape doctor`: one of the two is computed wrongly, or is rounded away."


@dataclass(frozen=True, kw_only=True)
class Held:
    """One comparison at one checkpoint."""

    claim: str
    sections: tuple[str, ...]
    checkpoint: str
    agrees: bool | None
    evidence: str
    advice: str = DOCTOR


def solved(estimate: Estimate) -> Interval:
    """Return the interval of a number on these data: the doubt of the samples is none of it."""
    return estimate.solver or estimate.interval
