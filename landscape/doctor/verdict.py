"""What a check says of what it looked at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """What was found; with a cause for doubt and a next step, a warning."""

    found: str
    why: str = ""
    next: str = ""


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural where it is not one."""
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {noun}{'es' if noun.endswith('ch') else 's'}"


class NotGiven(Exception):
    """There is nothing to look at.

    Args:
        reason: What is not there.
        next: What would unlock the check.
    """

    def __init__(self, reason: str, next: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.next = next
