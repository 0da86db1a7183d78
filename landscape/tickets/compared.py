"""The answer to how alike masks are: overlaps layer by layer, beside chance, and nesting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from landscape.answer import Finding, Result, Table
from landscape.estimate import Estimate
from landscape.figures.tickets import AlikeInk, OverlapInk, draw_alike, draw_overlaps
from landscape.pruning.overlap import Overlap

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NORMAL = 1.959964  # of the 95 % interval of chance
CLEAR = 4.0  # standard deviations from which on an overlap is told as not of chance


@dataclass(frozen=True, kw_only=True)
class ComparedMask:
    """One of the masks."""

    name: str
    kept: int
    weights: int
    method: str  # where its file tells

    @property
    def density(self) -> float:
        """Return the share that it keeps."""
        return self.kept / self.weights


@dataclass(frozen=True, kw_only=True)
class MaskPair:
    """Two masks beside each other."""

    a: str
    b: str
    jaccard: Estimate  # kept by both, of those that either keeps
    chance: Estimate  # of independent masks with the same counts in every layer
    z: float  # standard deviations of chance from what chance makes
    nested: str  # same, a in b, b in a; empty: neither
    layers: tuple[Overlap, ...]

    @property
    def name(self) -> str:
        """Return both names."""
        return f"{self.a} – {self.b}"

    @property
    def relation(self) -> str:
        """Return how the masks are nested, in words."""
        words = {"same": "the same", "a in b": f"{self.a} lies within {self.b}"}
        words["b in a"] = f"{self.b} lies within {self.a}"
        return words.get(self.nested, "not nested")


@dataclass(frozen=True, kw_only=True)
class TicketsCompareResult(Result):
    """The overlap of every pair of masks, in all and layer by layer."""

    name: ClassVar[str] = "tickets-compare"

    checkpoint: str  # what is compared, in words
    masks: tuple[ComparedMask, ...]
    left_out: tuple[str, ...]  # tensors that every mask keeps whole
    pairs: tuple[MaskPair, ...]

    @property
    def alone(self) -> MaskPair | None:
        """Return the pair, where there is only one."""
        return self.pairs[0] if len(self.pairs) == 1 else None

    def summary(self) -> str:
        """Return the answer in one line."""
        if self.alone is not None:
            one = self.alone
            return (
                f"{one.name}: {one.jaccard.value:.2%} kept by both of what either keeps, by chance "
                f"{one.chance.value:.2%} (z = {one.z:.3g}); {one.relation}"
            )
        values = [one.jaccard.value for one in self.pairs]
        low, high = np.nanmin(values), np.nanmax(values)
        return f"{len(self.masks)} masks: pairs keep {low:.2%} to {high:.2%} in common, of either"

    def headline(self) -> tuple[tuple[str, Estimate], ...]:
        """Return the overlap of a pair, and that of chance."""
        one = self.alone
        return () if one is None else (("Jaccard", one.jaccard), ("by chance", one.chance))

    def draw(self, axes: Axes, *, label: str | None = None, colour: str | None = None) -> None:
        """Draw the layers of a pair, or the matrix of many masks."""
        if self.alone is not None:
            draw_alike(axes, _alike(self.alone), label=label, colour=colour)
        else:
            draw_overlaps(axes, self._matrix(), label=label)

    def _matrix(self) -> OverlapInk:
        names = tuple(one.name for one in self.masks)
        place = {name: number for number, name in enumerate(names)}
        jaccard, chance = (np.full((len(names), len(names)), np.nan) for _ in range(2))
        for one in self.pairs:
            a, b = place[one.a], place[one.b]
            jaccard[a, b] = jaccard[b, a] = one.jaccard.value
            chance[a, b] = chance[b, a] = one.chance.value
        return OverlapInk(names=names, jaccard=jaccard, chance=chance)

    def caption(self) -> str:
        """Return method and cost."""
        return (
            "Overlap of masks; chance is that of independent masks that keep as many weights of "
            f"every layer. {self.cost.seconds:.1f} s, seed {self.seed}."
        )

    def tables(self) -> tuple[Table, ...]:
        """Return the masks, the pairs, and the layers of a single pair."""
        masks = tuple((m.name, m.method, m.kept, m.weights, 100 * m.density) for m in self.masks)
        pairs = tuple(
            (one.a, one.b, one.jaccard, one.chance, one.z, one.relation) for one in self.pairs
        )
        told = [
            Table("Masks", ("mask", "method", "kept", "of", "density, %"), masks),
            Table("Pairs", ("a", "b", "Jaccard", "by chance", "z", "nested"), pairs),
        ]
        if self.alone is not None:
            columns = ("layer", "weights", "a keeps", "b keeps", "both", "by chance", "Jaccard")
            rows = tuple(
                (o.name, o.size, o.first, o.second, o.both, o.expected, _number(o.jaccard), o.z)
                for o in self.alone.layers
            )
            told.append(Table("Layers", (*columns, "z"), rows))
        return tuple(told)

    def findings(self) -> tuple[Finding, ...]:
        """Return pairs that are the same, and those that are no more alike than chance makes."""
        same = [one.name for one in self.pairs if one.nested == "same"]
        apart = [one for one in self.pairs if one.nested == "" and abs(one.z) < CLEAR]
        found = []
        if same:
            found.append(
                Finding(
                    severity="notable",
                    sentence="Masks that are the same weight by weight.",
                    evidence=f"{len(same)} of {len(self.pairs)} pairs, such as {same[0]}.",
                    advice="Whatever made them, they are one mask.",
                )
            )
        if apart:
            one = apart[0]
            found.append(
                Finding(
                    severity="notable",
                    sentence="Masks that have no more in common than chance makes.",
                    evidence=f"{len(apart)} of {len(self.pairs)} pairs, such as {one.name}: "
                    f"{one.jaccard.value:.2%} and {one.chance.value:.2%} by chance, z = "
                    f"{one.z:.2g}.",
                    advice="Their densities of layers may still be alike: that is what a shuffle "
                    "within layers keeps.",
                )
            )
        return tuple(found)

    def trust(self) -> tuple[tuple[str, str], ...]:
        """Return what the numbers rest on."""
        chance = "independent masks with the same counts in every layer (hypergeometric)"
        rows = [("overlap", "counted"), ("chance", chance)]
        if self.left_out:
            told = f"{len(self.left_out)} tensors that no mask prunes"
            rows.append(("left out", told))
        return tuple(rows)


def _alike(pair: MaskPair) -> AlikeInk:
    layers = pair.layers
    expected = np.array([one.expected for one in layers])
    kept = np.array([one.first + one.second for one in layers], dtype=float)
    spread = np.array([_deviation(one) for one in layers])
    with np.errstate(divide="ignore", invalid="ignore"):
        high = (expected + NORMAL * spread) / (kept - expected - NORMAL * spread)
        chance = expected / (kept - expected)
    return AlikeInk(
        names=tuple(one.name for one in layers),
        jaccard=np.array([one.jaccard for one in layers]),
        chance=chance,
        spread=np.clip(high, 0, 1) - chance,
    )


def _deviation(one: Overlap) -> float:
    """Return the standard deviation of the number of weights that independent masks share."""
    n, a, b = one.size, one.first, one.second
    return (a * b * (n - a) * (n - b) / (n * n * (n - 1))) ** 0.5 if n > 1 else 0.0


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None
