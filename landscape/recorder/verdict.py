"""One thing that was found in a run."""

from __future__ import annotations

from dataclasses import dataclass

from landscape.answer import Severity

RECENT = 100  # recorded steps that what holds now is judged by


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One thing that was found.

    Args:
        kind: What, in one word or two.
        severity: How grave.
        sentence: What was found.
        evidence: The numbers.
        advice: What to try.
        step: Where it began or was largest.
        layers: That it concerns.
    """

    kind: str
    severity: Severity
    sentence: str
    evidence: str
    advice: str
    step: int | None = None
    layers: tuple[str, ...] = ()


def listed(names: tuple[str, ...]) -> str:
    """Return the first names, and how many there are besides."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def counted(count: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
