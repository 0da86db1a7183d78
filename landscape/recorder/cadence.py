"""Which steps are recorded, and which in detail."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Cadence:
    """Steps between rows.

    Args:
        every: Steps between rows of norms.
        details_every: Steps between details; 0: never.
    """

    every: int
    details_every: int

    def detailed(self, step: int) -> bool:
        """Return whether a step is looked at in detail."""
        return self.details_every > 0 and step % self.details_every == 0

    def recorded(self, step: int) -> bool:
        """Return whether a step has a row."""
        return step % self.every == 0 or self.detailed(step)
