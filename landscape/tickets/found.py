"""The answer of a search for tickets: its levels, what each keeps and how well it trains."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from landscape.answer import Finding, Result, Table
from landscape.estimate import Estimate
from landscape.figures.picture import Picture
from landscape.figures.tickets import Arm, ArmsInk, draw_arms, draw_layers
from landscape.pruning.layers import LayerLife, density_ink, layers_table
from landscape.signals.intervals import over_samples, share
from landscape.tickets.data import Judged
from landscape.tickets.imp import Level
from landscape.tickets.verdict import Runs

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ONE_RUN = "one training run; doubt of the samples"


@dataclass(frozen=True, kw_only=True)
class LevelAnswer:
    """One level of iterative pruning.

    Args:
        level: Rounds of pruning before it.
        asked: Density that the rounds leave, before rounding to whole weights.
        density: Share of the prunable weights that is kept.
        kept: How many that is.
        accuracy: After training, on the data that judge; None for regression.
        loss: The same.
        reported: What the training function returned; None: nothing.
        effective_density: Share that is on a path from input to output; None: not known.
        paths: Share of the paths of the dense network; None: not known.
        warning: What is wrong with the mask; empty: nothing.
        layers: What is left of each tensor.
    """

    level: int
    asked: float
    density: float
    kept: int
    accuracy: Estimate | None
    loss: Estimate
    reported: float | None
    effective_density: float | None
    paths: float | None
    warning: str
    layers: tuple[LayerLife, ...]

    @property
    def quality(self) -> Estimate:
        """Return the accuracy, or the loss where there is none."""
        return self.accuracy or self.loss


@dataclass(frozen=True, kw_only=True)
class FindResult(Result):
    """The levels of iterative magnitude pruning, the dense network first."""

    name: ClassVar[str] = "tickets-find"
    picture_names: ClassVar[tuple[str, ...]] = ("layers",)
    better: ClassVar = {"levels[*].accuracy": "higher", "levels[*].loss": "lower"}

    checkpoint: str
    training: str
    rewinding: str
    rewind_step: int
    judged_on: str
    fresh: bool  # whether training has not seen what judges
    samples: int
    weights: int  # that may be pruned
    last: str  # tensor with a rate of its own; empty: none
    levels: tuple[LevelAnswer, ...]

    @property
    def deepest(self) -> LevelAnswer:
        """Return the last level, whose mask is the ticket."""
        return self.levels[-1]

    def summary(self) -> str:
        """Return the ticket and how it does, in one line."""
        one, dense = self.deepest, self.levels[0]
        word = "accuracy" if one.accuracy is not None else "loss"
        return (
            f"{self.checkpoint}: level {one.level} keeps {one.kept:,} of {self.weights:,} weights "
            f"({one.density:.2%}), {word} {one.quality:.3g} (dense {dense.quality:.3g})"
        )

    def headline(self) -> tuple[tuple[str, Estimate], ...]:
        """Return how the ticket and the dense network do."""
        return (("ticket", self.deepest.quality), ("dense", self.levels[0].quality))

    def draw(self, axes: Axes, *, label: str | None = None, colour: str | None = None) -> None:
        """Draw accuracy, or loss, against density."""
        draw_arms(axes, self._ink(), label=label, colour=colour)

    def pictures(self) -> tuple[Picture, ...]:
        """Return what the ticket keeps of each layer."""
        text = f"Share of the weights of each tensor that level {self.deepest.level} keeps."
        ink = density_ink(self.deepest.layers)
        return (
            Picture(
                name="layers",
                title="What the ticket keeps of each layer",
                draw=partial(draw_layers, ink=ink),
                text=text,
            ),
        )

    def caption(self) -> str:
        """Return method and cost."""
        return (
            f"{self.stamp}Every level is one training run ({self.training}), judged on "
            f"{self.samples:,} samples ({self.judged_on}); bands are the doubt of the samples "
            f"alone. {self.cost.seconds:.1f} s, seed {self.seed}."
        )

    def tables(self) -> tuple[Table, ...]:
        """Return levels, and layers of the last."""
        return (_levels(self), layers_table("Layers of the ticket", self.deepest.layers))

    def findings(self) -> tuple[Finding, ...]:
        """Return what a reader should not miss."""
        looks = (_ticket(self), _ended(self), _warned(self), _seen(self))
        return tuple(one for one in looks if one is not None)

    def trust(self) -> tuple[tuple[str, str], ...]:
        """Return what the numbers rest on."""
        step = f"step {self.rewind_step}" if self.rewind_step else "the weights given"
        moved = "weights and buffers" if self.rewinding == "weights" else "the learning rate alone"
        return (
            ("judged on", f"{self.judged_on}, {self.samples:,} samples"),
            ("training", self.training),
            ("rewound", f"{moved}, to {step}; the optimizer's state is new at every level"),
            ("runs", "one a level; a search from other seeds gives other masks"),
            ("a verdict", "needs controls: landscape tickets eval"),
            *((("rate of its own", self.last),) if self.last else ()),
        )

    def _ink(self) -> ArmsInk:
        dense = self.levels[0].quality
        name = "tickets"
        return ArmsInk(
            arms=(arm_of(name, [(one.density, one.quality) for one in self.levels]),),
            quantity="accuracy" if self.levels[0].accuracy is not None else "loss",
            dense=(dense.value, *dense.interval),
        )


def level_answer(level: Level) -> LevelAnswer:
    """Return what is told of a level."""
    return LevelAnswer(
        level=level.number,
        asked=level.asked,
        density=level.mask.density,
        kept=level.mask.total,
        accuracy=_once(level.judged, accuracy=True) if level.judged.errors is not None else None,
        loss=_once(level.judged, accuracy=False),
        reported=level.reported,
        effective_density=level.paths.effective,
        paths=level.paths.share,
        warning=level.paths.warning,
        layers=level.paths.layers,
    )


def _once(judged: Judged, *, accuracy: bool) -> Estimate:
    """Return the number of one run with the doubt of the samples."""
    runs = Runs.of([judged], accuracy=accuracy)
    number = runs.samples.shape[1]
    if runs.shares:
        return share(round(float(runs.values[0]) * number), number, ONE_RUN)
    return over_samples(runs.samples[0] if accuracy else -runs.samples[0], ONE_RUN)


def arm_of(name: str, points: list[tuple[float, Estimate]]) -> Arm:
    """Return what is drawn of one arm: (density, number) for each mask."""
    return Arm(
        name=name,
        density=np.array([density for density, _ in points]),
        value=np.array([one.value for _, one in points]),
        lower=np.array([one.interval[0] for _, one in points]),
        upper=np.array([one.interval[1] for _, one in points]),
    )


def _levels(result: FindResult) -> Table:
    rows = tuple(
        (
            one.level,
            one.kept,
            100 * one.density,
            one.accuracy,
            one.loss,
            one.reported,
            None if one.effective_density is None else 100 * one.effective_density,
            one.warning or None,
        )
        for one in result.levels
    )
    columns = ("level", "kept", "density, %", "accuracy", "loss", "reported", "effective, %")
    return _filled(Table("Levels", (*columns, "warning"), rows))


def _filled(table: Table) -> Table:
    """Return the table without columns that hold nothing."""
    kept = [i for i in range(len(table.columns)) if any(row[i] is not None for row in table.rows)]
    columns = tuple(table.columns[i] for i in kept)
    return Table(table.title, columns, tuple(tuple(row[i] for i in kept) for row in table.rows))


def _ticket(result: FindResult) -> Finding:
    one, dense = result.deepest, result.levels[0]
    word = "accuracy" if one.accuracy is not None else "loss"
    return Finding(
        severity="notable",
        sentence=f"{one.density:.2%} of the weights are left after {one.level} "
        f"round{'s' * (one.level != 1)}.",
        evidence=f"Their {word} is {one.quality:.3g}, that of the dense network "
        f"{dense.quality:.3g}, each from one run.",
        advice="Whether it is a winning ticket only its controls tell: landscape tickets eval.",
    )


def _ended(result: FindResult) -> Finding | None:
    rounds = result.settings.get("rounds", result.deepest.level)
    if result.deepest.level == rounds:
        return None
    return Finding(
        severity="warning",
        sentence=f"The search ended at level {result.deepest.level} of {rounds}.",
        evidence="The next mask leaves no path from input to output.",
        advice="Prune fewer weights in a round, or the last layer more slowly (--last-rate).",
    )


def _warned(result: FindResult) -> Finding | None:
    first = next((one for one in result.levels if one.warning), None)
    if first is None:
        return None
    return Finding(
        severity="warning",
        sentence=f"From level {first.level} on the mask keeps weights that do nothing.",
        evidence=f"At level {result.deepest.level}: {result.deepest.warning or 'none'}; at level "
        f"{first.level}: {first.warning}.",
        advice="Read the effective density beside the density.",
    )


def _seen(result: FindResult) -> Finding | None:
    if result.fresh:
        return None
    return Finding(
        severity="warning",
        sentence="What judges may have been trained on.",
        evidence=f"The levels are judged on {result.judged_on}, and the training function reads "
        "data of its own.",
        advice="Give data that training has not seen (--held-out).",
    )
