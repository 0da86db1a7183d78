"""The answer to which weights a score keeps, and what that leaves of a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from landscape.answer import Finding, Result, Table
from landscape.estimate import Estimate
from landscape.figures.tickets import draw_layers
from landscape.pruning.layers import LayerLife, density_ink, layers_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WASTED = 0.02  # share of the kept weights off every path from which on it is told
MOST = 5  # layers that a finding names


@dataclass(frozen=True, kw_only=True)
class ScoredLayer(LayerLife):
    """What a mask by a score keeps of one weight tensor."""

    threshold: float  # lowest score that is kept; NaN where none is


@dataclass(frozen=True, kw_only=True)
class TicketsScoreResult(Result):
    """A mask by a score: how many weights of each layer it keeps, and what is left to flow."""

    name: ClassVar[str] = "tickets-score"

    checkpoint: str
    reference: str | None  # the first checkpoint, where a score compares two
    method: str
    shared: str  # over what weights compete
    rounds: int
    weights: int  # that may be pruned
    others: int  # studied parameters that stay dense: biases, normalisation, what was named
    kept: int
    density: Estimate
    effective_density: Estimate | None  # of weights on a path
    paths: Estimate | None  # from input to output; weighted where networks normalise or pool
    paths_of_dense: Estimate | None
    pathless: str  # why paths are not told; empty when they are
    loss: Estimate | None  # under the mask, without any training
    loss_of_dense: Estimate | None
    layers: tuple[ScoredLayer, ...]

    @property
    def empty(self) -> tuple[str, ...]:
        """Return the layers that keep nothing."""
        return tuple(one.name for one in self.layers if one.kept == 0)

    @property
    def severed(self) -> bool:
        """Return whether no path leads from input to output."""
        return self.paths is not None and self.paths.value == 0

    def summary(self) -> str:
        """Return the answer in one or two lines."""
        share = f"{self.kept:,} of {self.weights:,} weights ({self.density.value:.3%})"
        text = f"{self.checkpoint}, {self.method}: {share} kept in {len(self.layers)} layers"
        if self.effective_density is not None:
            text += f", {self.effective_density.value:.3%} on a path"
        elif self.pathless:
            text += f"; paths not told: {self.pathless}"
        if self.loss is not None and self.loss_of_dense is not None:
            text += f"; loss {self.loss_of_dense} → {self.loss} without training"
        return text + (f"; empty: {len(self.empty)} layers" if self.empty else "")

    def headline(self) -> tuple[tuple[str, Estimate], ...]:
        """Return density, effective density, and the loss under the mask."""
        named = (
            ("density", self.density),
            ("on a path", self.effective_density),
            ("loss under the mask", self.loss),
        )
        return tuple((name, one) for name, one in named if one is not None)

    def draw(self, axes: Axes, *, label: str | None = None, colour: str | None = None) -> None:
        """Draw the density of every layer."""
        draw_layers(axes, density_ink(self.layers), label=label, colour=colour)

    def caption(self) -> str:
        """Return method and cost."""
        rounds = f" in {self.rounds} rounds" if self.rounds > 1 else ""
        over = {"global": "all weights compete", "layer": "every layer keeps the same share"}
        told = over.get(self.shared, "densities of the Erdős–Rényi kernel")
        return (
            f"{self.stamp}{self.method}{rounds} at {self.checkpoint}; {told}. "
            f"{self.cost.products} products, {self.cost.seconds:.1f} s, seed {self.seed}."
        )

    def tables(self) -> tuple[Table, ...]:
        """Return one row per layer."""
        table = layers_table("Layers under the mask", self.layers)
        lowest = (one.threshold if np.isfinite(one.threshold) else None for one in self.layers)
        rows = tuple((*row, one) for row, one in zip(table.rows, lowest, strict=True))
        return (Table(table.title, (*table.columns, "lowest kept score"), rows),)

    def findings(self) -> tuple[Finding, ...]:
        """Return what stands in the way of training under the mask."""
        looks = (self._severed, self._emptied, self._wasted)
        return tuple(one for look in looks if (one := look()) is not None)

    def _severed(self) -> Finding | None:
        if not self.severed:
            return None
        return Finding(
            severity="critical",
            sentence=f"At this density {self.method} leaves no path from input to output.",
            evidence=_named("Layers that keep nothing", self.empty),
            advice="Nothing can be trained under this mask: keep more, share by layer or erk, or "
            "take synflow in 100 rounds.",
        )

    def _emptied(self) -> Finding | None:
        if self.severed or not self.empty:
            return None
        return Finding(
            severity="warning",
            sentence=f"By {self.method}, nothing is left of {len(self.empty)} "
            f"layer{'s' * (len(self.empty) != 1)}.",
            evidence=_named("They are", self.empty),
            advice="What goes round them (a skip, a bias) is all that is left there; share by "
            "layer or erk, or take synflow in 100 rounds.",
        )

    def _wasted(self) -> Finding | None:
        if self.effective_density is None or self.severed:
            return None
        lost = self.kept - sum(one.live or 0 for one in self.layers)
        if lost <= WASTED * self.kept:
            return None
        return Finding(
            severity="notable",
            sentence=f"{lost:,} of the {self.kept:,} kept weights are on no path from input to "
            "output.",
            evidence=f"Density {self.density.value:.3%}, effective "
            f"{self.effective_density.value:.3%}.",
            advice="Compare pruning methods at equal effective density.",
        )

    def trust(self) -> tuple[tuple[str, str], ...]:
        """Return what the numbers rest on."""
        rows = [("mask", f"{self.kept:,} weights exactly; ties go to the earlier weight")]
        rows += [("dense", f"{self.others:,} studied parameters stay whole")]
        followed = "followed in float64 through the network whose weights are the mask"
        rows += [("paths", followed if not self.pathless else f"not told: {self.pathless}")]
        if self.loss is not None:
            rows += [("loss", "of the given data, without training: no verdict on the mask")]
        return tuple(rows)


def _named(what: str, names: tuple[str, ...]) -> str:
    if not names:
        return "Every layer keeps some weights, but they do not meet."
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return f"{what}: {', '.join(names[:MOST])}{more}."
