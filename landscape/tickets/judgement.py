"""The answer of a trial: every arm with its doubt, and the verdict on each ticket."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from landscape.answer import Finding, Result, Table
from landscape.estimate import Estimate
from landscape.figures.picture import Picture
from landscape.figures.tickets import ArmsInk, draw_arms, draw_layers
from landscape.pruning.layers import LayerLife, density_ink
from landscape.tickets import judgement_tables as tables
from landscape.tickets.found import arm_of
from landscape.tickets.verdict import Comparison, Word

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True)
class ArmAnswer:
    """One arm of one ticket.

    Args:
        arm: ticket, reinit, shuffled, random, inverted or dense.
        mask: Of which ticket.
        density: Share of the prunable weights that is kept.
        kept: How many that is.
        accuracy: Mean over the seeds; None for regression.
        loss: The same.
        runs: What decides, for each seed: accuracy, or loss where there is none.
        effective_density: Share that is on a path, at the first seed; None: not known.
        warning: What is wrong with the mask of the first seed; empty: nothing.
    """

    arm: str
    mask: str
    density: float
    kept: int
    accuracy: Estimate | None
    loss: Estimate
    runs: tuple[float, ...]
    effective_density: float | None
    warning: str

    @property
    def quality(self) -> Estimate:
        """Return the accuracy, or the loss where there is none."""
        return self.accuracy or self.loss


@dataclass(frozen=True, kw_only=True)
class TicketAnswer:
    """The verdict on one mask.

    Args:
        mask: Its name.
        method: That found it, as far as its file says.
        density: Share of the prunable weights that is kept.
        kept: How many that is.
        verdict: Over all controls.
        reason: In words.
        more_seeds: About how many would settle it; None: settled, or seeds alone cannot.
        comparisons: With each control.
        dense_gap: Ticket less dense network; positive is better.
        matching: Whether it is as good as the dense network, to within the margin.
        layers: What it leaves of each tensor.
    """

    mask: str
    method: str
    density: float
    kept: int
    verdict: Word
    reason: str
    more_seeds: int | None
    comparisons: tuple[Comparison, ...]
    dense_gap: Estimate
    matching: str
    layers: tuple[LayerLife, ...]


@dataclass(frozen=True, kw_only=True)
class EvalResult(Result):
    """Tickets beside their controls, and whether they win."""

    name: ClassVar[str] = "tickets-eval"
    picture_names: ClassVar[tuple[str, ...]] = ("layers",)
    better: ClassVar = {"arms[*].accuracy": "higher", "arms[*].loss": "lower"}

    checkpoint: str
    training: str
    rewind_step: int
    judged_on: str
    fresh: bool  # whether training has not seen what judges
    samples: int
    seeds: int
    level: float
    margin: float
    quantity: str  # accuracy or loss: what decides
    verdict: Word  # on the sparsest ticket
    arms: tuple[ArmAnswer, ...]
    tickets: tuple[TicketAnswer, ...]  # the sparsest last

    @property
    def sparsest(self) -> TicketAnswer:
        """Return the ticket that the verdict is of."""
        return self.tickets[-1]

    @property
    def dense(self) -> ArmAnswer:
        """Return the dense arm."""
        return next(one for one in self.arms if one.arm == "dense")

    def arm(self, name: str, mask: str) -> ArmAnswer:
        """Return an arm of a ticket."""
        return next(one for one in self.arms if (one.arm, one.mask) == (name, mask))

    def summary(self) -> str:
        """Return the verdict, and what it rests on."""
        return tables.summary_of(self)

    def headline(self) -> tuple[tuple[str, Estimate], ...]:
        """Return the arms of the sparsest ticket."""
        own = [one for one in self.arms if one.mask == self.sparsest.mask]
        return tuple((one.arm, one.quality) for one in (*own, self.dense))

    def draw(self, axes: Axes, *, label: str | None = None, colour: str | None = None) -> None:
        """Draw accuracy, or loss, of every arm against density."""
        draw_arms(axes, self._ink(), label=label, colour=colour)

    def pictures(self) -> tuple[Picture, ...]:
        """Return what the sparsest ticket keeps of each layer."""
        return (
            Picture(
                name="layers",
                title="What the ticket keeps of each layer",
                draw=partial(draw_layers, ink=density_ink(self.sparsest.layers)),
                text=f"Share of the weights of each tensor that {self.sparsest.mask} keeps.",
            ),
        )

    def caption(self) -> str:
        """Return method and cost."""
        return tables.caption_of(self)

    def tables(self) -> tuple[Table, ...]:
        """Return verdicts, comparisons, arms and layers."""
        return tables.tables_of(self)

    def findings(self) -> tuple[Finding, ...]:
        """Return what a reader should not miss."""
        return tables.findings_of(self)

    def trust(self) -> tuple[tuple[str, str], ...]:
        """Return what the verdict rests on."""
        return tables.trust_of(self)

    def _ink(self) -> ArmsInk:
        names = dict.fromkeys(one.arm for one in self.arms if one.arm != "dense")
        of = {name: [one for one in self.arms if one.arm == name] for name in names}
        dense = self.dense.quality
        return ArmsInk(
            arms=tuple(
                arm_of(name, [(one.density, one.quality) for one in own])
                for name, own in of.items()
            ),
            quantity="accuracy" if self.quantity == "accuracy" else "loss",
            dense=(dense.value, *dense.interval),
        )
