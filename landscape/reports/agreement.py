"""Two ways to one number, held against each other: a line of Trust, or a finding."""

from __future__ import annotations

from dataclasses import dataclass

from landscape.answer import Finding


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """What sections say of the same thing.

    Args:
        claim: What both were asked, such as "trace: random vectors and density".
        sections: That were held against each other, by name.
        agrees: Whether they agree within their doubts; None where these are too large to tell.
        evidence: Both numbers.
        advice: What to do about a disagreement; empty where a section tells of it by itself.
    """

    claim: str
    sections: tuple[str, ...]
    agrees: bool | None
    evidence: str
    advice: str = ""

    @property
    def verdict(self) -> str:
        """Return the outcome in words."""
        if self.agrees is None:
            return "not resolved"
        return "agree" if self.agrees else "disagree"

    @property
    def finding(self) -> Finding | None:
        """Return a disagreement as something that a reader should not miss."""
        if self.agrees is not False or not self.advice:
            return None
        return Finding(
            severity="warning",
            sentence=f"Two ways to one number disagree ({self.claim}).",
            evidence=self.evidence,
            advice=self.advice,
            section=self.sections[0],
        )
