"""The answer to how several networks compare."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from landscape.answer import Finding, Result, Table
from landscape.difference import Direction, Word
from landscape.estimate import Estimate
from landscape.figures.picture import Picture
from landscape.solutions import pictures, tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True)
class Solution:
    """One network.

    Args:
        name: Of its checkpoint.
        loss: On the given data.
        error: Share that is wrong there; None for regression.
        held_out_loss: On held-out data; None where there are none.
        held_out_error: The same.
        gap: Held-out loss less that on the given data.
        error_gap: The same of the error.
        sharpness: λ₁ of the Hessian; None where it was not asked for.
        trace: Of the Hessian.
        margin: Median of the right output less the largest other, on the given data.
        noise_scale: tr Σ / ‖g‖².
        norm: ‖θ‖.
        from_initial: ‖θ − θ₀‖; None where no initial checkpoint is known.
    """

    name: str
    loss: Estimate
    error: Estimate | None
    held_out_loss: Estimate | None
    held_out_error: Estimate | None
    gap: Estimate | None
    error_gap: Estimate | None
    sharpness: Estimate | None
    trace: Estimate | None
    margin: Estimate | None
    noise_scale: Estimate | None
    norm: Estimate
    from_initial: Estimate | None


@dataclass(frozen=True, kw_only=True)
class Alike:
    """Two networks, and how alike they are.

    Args:
        a: One.
        b: The other.
        distance: ‖θ_a − θ_b‖.
        cosine: Of the angle between θ_a and θ_b; of θ − θ₀ where the initial checkpoint is known.
        disagreement: Share of the labels that they predict differently; None for regression.
        similarity: Linear CKA of the outputs.
        barrier_loss: Rise of the loss on the straight line; None where it was not asked for.
        barrier_error: The same of the error.
        verdict: On the line: connected, barrier, inconclusive or refused; empty: not asked.
        reason: Of the verdict.
    """

    a: str
    b: str
    distance: Estimate
    cosine: Estimate
    disagreement: Estimate | None
    similarity: Estimate | None
    barrier_loss: Estimate | None
    barrier_error: Estimate | None
    verdict: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Beside:
    """One number of a network beside that of the first.

    Args:
        name: Of the network.
        number: Field of `Solution`, or `judged_loss` and `judged_error`: on what judges, paired.
        difference: Its number less the first's.
        better: Which way is better; None: neither.
        verdict: On the network.
        reason: Why it is undecided; else empty.
    """

    name: str
    number: str
    difference: Estimate
    better: Direction | None
    verdict: Word
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A number that is not there, and why."""

    part: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class SolutionsResult(Result):
    """Several networks side by side, pair by pair, and each beside the first."""

    name: ClassVar[str] = "solutions"
    version: ClassVar[int] = 2
    picture_names: ClassVar[tuple[str, ...]] = ("pairs",)
    better: ClassVar = {
        "solutions[*].loss": "lower",
        "solutions[*].error": "lower",
        "solutions[*].held_out_loss": "lower",
        "solutions[*].held_out_error": "lower",
        "pairs[*].barrier_loss": "lower",
        "pairs[*].barrier_error": "lower",
    }

    checkpoint: str  # all names
    initial: str | None  # the checkpoint from which distances are told
    judged_on: str
    samples: int  # that judge
    solutions: tuple[Solution, ...]
    pairs: tuple[Alike, ...]
    beside: tuple[Beside, ...]  # each but the first, number by number
    left_out: tuple[LeftOut, ...]

    @property
    def worse(self) -> bool:
        """Return whether any number of a network is worse than the first's."""
        return any(one.verdict == "worse" for one in self.beside)

    @property
    def unknown(self) -> str:
        """Return why nothing worse was found may mean nothing, in a few words; else empty."""
        names = dict.fromkeys(
            one.name
            for one in self.beside
            if one.better and not math.isfinite(one.difference.value)
        )
        return f"loss or error is not finite: {', '.join(names)}" if names else ""

    def summary(self) -> str:
        """Return the networks in one line."""
        return tables.summary_of(self)

    def headline(self) -> tuple[tuple[str, Estimate], ...]:
        """Return the loss of every network on what judges, as many as a reader looks for."""
        judged = tables.judged_name(self, "judged_loss")
        return tuple(
            (f"{judged} of {one.name}", one.held_out_loss or one.loss) for one in self.solutions[:6]
        )

    def draw(self, axes: Axes, *, label: str | None = None, colour: str | None = None) -> None:
        """Draw every network at its sharpness and its loss, with both intervals."""
        pictures.draw_main(axes, self, label=label, colour=colour)

    def pictures(self) -> tuple[Picture, ...]:
        """Return the figure beside the main one: barriers and disagreement, pair by pair."""
        return pictures.pictures_of(self)

    def caption(self) -> str:
        """Return method and cost."""
        return (
            f"λ₁ of the Hessian of the mean loss over the given data, and the loss on "
            f"{self.samples:,} samples ({self.judged_on}), with 95 % intervals. "
            f"{self.cost.products:,} products, {self.cost.seconds:.1f} s, seed {self.seed}."
        )

    def tables(self) -> tuple[Table, ...]:
        """Return the networks, the pairs, and each network beside the first."""
        return tables.tables_of(self)

    def findings(self) -> tuple[Finding, ...]:
        """Return what a reader should not miss."""
        return tables.findings_of(self)

    def trust(self) -> tuple[tuple[str, str], ...]:
        """Return what the numbers rest on."""
        return tables.trust_of(self)
