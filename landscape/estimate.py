"""Numbers that carry their own doubt."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import numpy as np
from scipy.special import stdtrit  # pyright: ignore[reportMissingTypeStubs]

Kind = Literal["exact", "estimate", "upper_bound", "lower_bound"]
Interval = tuple[float, float]

WHOLE = 1e5  # below which a doubt of 1 and more is told to the unit, as reports do


class Status(StrEnum):
    """How a computation ended."""

    CONVERGED = "converged"
    NOT_CONVERGED = "not_converged"
    BUDGET_SPENT = "budget_spent"
    INVARIANT_SUBSPACE = "invariant_subspace"
    NOT_FINITE = "not_finite"
    SKIPPED = "skipped"

    @property
    def sentence(self) -> str:
        """Return what the status means to the reader."""
        return _SENTENCES[self]

    @property
    def words(self) -> str:
        """Return the status as a person says it: `budget spent`."""
        return self.value.replace("_", " ")

    @property
    def settled(self) -> bool:
        """Return whether the number can be read without a warning."""
        return self in (Status.CONVERGED, Status.INVARIANT_SUBSPACE)


_SENTENCES = {
    Status.CONVERGED: "The accuracy that was asked for was reached.",
    Status.NOT_CONVERGED: "What the settings allow did not reach the accuracy that was asked for.",
    Status.BUDGET_SPENT: "The budget was spent before the accuracy that was asked for.",
    Status.INVARIANT_SUBSPACE: "The iteration ended early and exactly: nothing was left to find.",
    Status.NOT_FINITE: "A number was NaN or infinite.",
    Status.SKIPPED: "This was not computed.",
}

_GRAVITY = (
    Status.CONVERGED,
    Status.INVARIANT_SUBSPACE,
    Status.SKIPPED,
    Status.NOT_CONVERGED,
    Status.BUDGET_SPENT,
    Status.NOT_FINITE,
)


def worst(*statuses: Status) -> Status:
    """Return the gravest of some statuses; `converged` when there are none."""
    return max(statuses, key=_GRAVITY.index, default=Status.CONVERGED)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number, its interval and what kind of claim it makes.

    `interval` is the total; `solver` (probes, iteration) and `sampling` (data) are its parts.
    `residual` is absolute. A number that is not finite says why in `reason`.
    """

    value: float
    kind: Kind
    interval: Interval
    level: float = 0.95
    solver: Interval | None = None
    sampling: Interval | None = None
    samples: int = 1
    residual: float | None = None
    status: Status = Status.CONVERGED
    method: str = ""
    reason: str | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.value) and self.reason is None:
            object.__setattr__(self, "reason", f"the value is {self.value}")
            object.__setattr__(self, "status", Status.NOT_FINITE)
        elif math.isfinite(self.value):  # JSON has no infinity: an open end is null there
            for name in ("interval", "solver", "sampling"):
                object.__setattr__(self, name, _opened(getattr(self, name)))

    @classmethod
    def exact(cls, value: float, method: str = "") -> Estimate:
        """Return a number that has no doubt beyond rounding."""
        return cls(value=value, kind="exact", interval=(value, value), level=1.0, method=method)

    @classmethod
    def within(
        cls,
        value: float,
        interval: Interval,
        method: str,
        *,
        samples: int = 1,
        residual: float | None = None,
        status: Status = Status.CONVERGED,
    ) -> Estimate:
        """Return a number of which it is certain how far the solver, or rounding, may be off."""
        return cls(
            value=value,
            kind="estimate",
            interval=interval,
            level=1.0,
            solver=interval,
            samples=samples,
            residual=residual,
            status=status,
            method=method,
        )

    @classmethod
    def mean(
        cls,
        draws: np.ndarray,  # (p,)
        *,
        method: str,
        level: float = 0.95,
        status: Status = Status.CONVERGED,
    ) -> Estimate:
        """Return the mean of independent draws with Student's t interval.

        Args:
            draws: Independent, identically distributed numbers (p,), p ≥ 2.
            method: What drew them.
            level: Probability that the interval covers the expectation.
            status: How the drawing ended.
        """
        value, half = float(np.mean(draws)), t_half_width(draws, level)
        interval = (value - half, value + half)
        return cls(
            value=value,
            kind="estimate",
            interval=interval,
            level=level,
            solver=interval,
            samples=len(draws),
            status=status,
            method=method,
        )

    @property
    def half_width(self) -> float:
        """Return half the length of the interval."""
        return (self.interval[1] - self.interval[0]) / 2

    def __format__(self, spec: str) -> str:
        """Format as `1.53 ± 0.02`, as `21 [10, 40]` when lopsided, bare when it is a point."""
        spec = spec or ".4g"
        if not math.isfinite(self.value):
            return str(self.value)
        sign = {"upper_bound": "≤ ", "lower_bound": "≥ "}.get(self.kind, "")
        text = f"{sign}{self.value:{spec}}"
        if self.kind == "estimate" and self.half_width > 0 and math.isfinite(self.half_width):
            text += f" {self._doubt()}"
        return text if self.status.settled else f"{text} ({self.status.words})"

    def _doubt(self) -> str:
        """Return `± 0.02`, or both ends where they are lopsided.

        With as many digits as it takes to hold zero or to leave it out as the interval does, beside
        three or four digits of the value.
        """
        (low, high), half = self.interval, self.half_width
        values = [abs(float(f"{self.value:.{digits}g}")) for digits in (3, 4)]
        if abs(high + low - 2 * self.value) <= 0.2 * half:
            rough = f"{half:.0f}" if 1 <= half < WHOLE else _short(half, 1)
            for told in (rough, _short(half, 2), _short(half, 3)):
                if self.tells_sign(float(told), *values):
                    return f"± {told}"
        return f"[{low:.3g}, {high:.3g}]"

    def tells_sign(self, half: float, *values: float) -> bool:
        """Return whether what is told leaves zero out, or holds it, as the interval does.

        Args:
            half: The half-width that is told.
            values: Each magnitude that may be told of the value.
        """
        low, high = self.interval
        return half < min(values) if low > 0 or high < 0 else half >= max(values)

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        return format(self, "")


def _short(half: float, digits: int) -> str:
    return f"{float(f'{half:.{digits}g}'):g}"


def _opened(interval: Interval | None) -> Interval | None:
    if interval is None:
        return None
    low, high = interval
    return (-math.inf if math.isnan(low) else low, math.inf if math.isnan(high) else high)


def t_half_width(draws: np.ndarray, level: float = 0.95) -> float:
    """Return the half-width of Student's t interval of a mean of independent draws (p,)."""
    if len(draws) < 2:
        return math.inf
    quantile = float(stdtrit(len(draws) - 1, (1 + level) / 2))
    return quantile * float(np.std(draws, ddof=1)) / math.sqrt(len(draws))


def jackknife_half_width(value: float, left_out: np.ndarray, level: float = 0.95) -> float:
    """Return the half-width of a statistic of few draws, from it with each left out (p,).

    Student's t of the pseudo-values at half the tail, since the jackknife of few draws is short.
    """
    draws = len(left_out)
    return t_half_width(draws * value - (draws - 1) * left_out, (1 + level) / 2)
