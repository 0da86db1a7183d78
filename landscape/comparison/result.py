"""The answer to which of two documents is better, number by number."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from landscape.answer import Finding, Result, Table
from landscape.comparison.likeness import Unlike
from landscape.comparison.numbers import Changed, Contrast
from landscape.difference import shown
from landscape.estimate import Estimate
from landscape.figures.contrast import ContrastInk, draw_contrasts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

APART = ("worse", "better", "different")
WORDS = (*APART, "undecided", "indistinguishable")
SHOWN = 24  # numbers in the figure
NAMED = 3  # of what is missing


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two documents.

    Args:
        label: What to call it.
        source: Its file.
        weights_fingerprint: Of the last checkpoint; None: not known.
    """

    label: str
    source: str
    weights_fingerprint: str | None


@dataclass(frozen=True, kw_only=True)
class Comparison(Result):
    """Two documents held against one another, number by number."""

    name: ClassVar[str] = "compare"
    version: ClassVar[int] = 3

    of: str  # the diagnostic, or report
    a: Side
    b: Side
    same_data: bool  # both rest on the same batches
    same_weights: bool
    rounding: float
    unlike: tuple[Unlike, ...]
    numbers: tuple[Contrast, ...]
    changed: tuple[Changed, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    sections_left_out: tuple[str, ...]  # of a report, that only one of the two has
    undecided: tuple[str, ...]  # numbers with a better side that one lacks, or that are not settled

    def having(self, word: str) -> tuple[Contrast, ...]:
        """Return the numbers of one verdict."""
        return tuple(one for one in self.numbers if one.verdict == word)

    @property
    def worse(self) -> bool:
        """Return whether any number of B is worse than in A."""
        return bool(self.having("worse"))

    @property
    def unknown(self) -> str:
        """Return why nothing worse was found may mean nothing, in a few words; else empty."""
        parts = []
        if self.sections_left_out:
            parts.append(f"in one of the two only: {_some(self.sections_left_out)}")
        if self.undecided:
            parts.append(f"missing in one of the two, or not settled: {_some(self.undecided)}")
        if not any(one.better for one in self.numbers):
            parts.append(f"no number of {self.of} that has a better side is in both")
        return "; ".join(parts)

    @property
    def same(self) -> bool:
        """Return whether both say the same, number by number."""
        apart = (*self.changed, *self.only_a, *self.only_b, *self.sections_left_out, *self.unlike)
        return bool(self.numbers) and not apart and all(one.a == one.b for one in self.numbers)

    def summary(self) -> str:
        """Return how many numbers have which verdict, in one line."""
        count = Counter(one.verdict for one in self.numbers)
        told = ", ".join(f"{count[word]} {word}" for word in WORDS if count[word])
        data = "the same batches" if self.same_data else "DIFFERENT data"
        same = "the same, " if self.same else ""
        return (
            f"{self.of}: B ({self.b.label}) beside A ({self.a.label}): "
            f"{same}{told or 'no number'}; on {data}, every number by itself"
        )

    def headline(self) -> tuple[tuple[str, Estimate], ...]:
        """Return the differences that are told apart."""
        apart = [one for word in APART for one in self.having(word)]
        return tuple((one.path, one.difference) for one in apart[:6])

    def draw(self, axes: Axes, *, label: str | None = None, colour: str | None = None) -> None:
        """Draw the differences, relative to A, those that are told apart first."""
        del colour
        chosen = self._drawn()
        ink = ContrastInk(
            names=tuple(one.path for one in chosen),
            values=tuple(one.difference.value / _scale(one) for one in chosen),
            lower=tuple(one.difference.interval[0] / _scale(one) for one in chosen),
            upper=tuple(one.difference.interval[1] / _scale(one) for one in chosen),
            verdicts=tuple(one.verdict for one in chosen),
            a=self.a.label,
            b=self.b.label,
        )
        draw_contrasts(axes, ink, label=label)

    def _drawn(self) -> list[Contrast]:
        """Return the numbers with finite intervals that have a row, those told apart first."""
        return [one for word in WORDS for one in self.having(word) if _drawable(one)][:SHOWN]

    def caption(self) -> str:
        """Return what is shown, and of how many numbers."""
        return (
            f"B − A over the larger magnitude of the two, with 95 % intervals: {self.b.label} "
            f"beside {self.a.label}, {len(self._drawn())} of {len(self.numbers)} "
            f"numbers of {self.of}, those told apart first. Seed {self.seed}."
        )

    def tables(self) -> tuple[Table, ...]:
        """Return the numbers, gravest first; of layers only those that are told apart.

        Where both say the same, only what is undecided.
        """
        words = WORDS if not self.same else ("undecided",)
        listed = [
            one for word in words for one in self.having(word) if word in APART or not one.listed
        ]
        rows = tuple(
            (one.path, one.a, one.b, shown(one.difference), one.verdict, one.reason)
            for one in listed
        )
        columns = ("number", "A", "B", "B − A", "B is", "why undecided")
        made = [Table("Numbers", columns, rows)] if rows else []
        if self.changed:
            plain = tuple((one.path, _cell(one.a), _cell(one.b)) for one in self.changed)
            made.append(Table("Without an interval", ("what", "A", "B"), plain))
        if self.unlike:
            differing = tuple((one.what, one.a, one.b) for one in self.unlike)
            made.append(Table("Settings that differ", ("setting", "A", "B"), differing))
        return tuple(made)

    def findings(self) -> tuple[Finding, ...]:
        """Return that the settings are unlike, and what only one of the two has."""
        found = []
        grave = [one.told for one in self.unlike if one.grave]
        if grave:
            found.append(
                Finding(
                    severity="warning",
                    sentence="The two were not made alike.",
                    evidence=f"{'; '.join(grave)}.",
                    advice="Make one again with the settings of the other.",
                )
            )
        if self.undecided:
            found.append(
                Finding(
                    severity="warning",
                    sentence="Whether B is worse is not decided by every number that could tell.",
                    evidence=f"Missing in one of the two, or not settled: {_some(self.undecided)}.",
                    advice="Ask both for the same, and let every number converge.",
                )
            )
        if lost := len(self.only_a) + len(self.only_b) + len(self.sections_left_out):
            some = [*self.sections_left_out, *self.only_a, *self.only_b][:3]
            found.append(
                Finding(
                    severity="notable",
                    sentence=f"{lost} sections or numbers are in one of the two only.",
                    evidence=f"Among them {', '.join(some)}.",
                    advice="Ask both for the same.",
                )
            )
        return tuple(found)

    def trust(self) -> tuple[tuple[str, str], ...]:
        """Return what the verdicts rest on."""
        return (
            ("data", "the same batches" if self.same_data else "different"),
            ("weights", "the same" if self.same_weights else "different"),
            ("intervals", "ends subtracted: sure whatever both have in common"),
            ("differences that rounding may make", f"{self.rounding:g} of the number"),
        )


def _some(names: tuple[str, ...]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _scale(one: Contrast) -> float:
    return max(abs(one.a.value), abs(one.b.value)) or 1.0


def _drawable(one: Contrast) -> bool:
    return all(abs(end) < float("inf") for end in (one.difference.value, *one.difference.interval))


def _cell(value: object) -> str | float | bool | int | None:
    return value if isinstance(value, str | float | bool | int | None) else str(value)
