"""The answer to how fast a network's outputs can change: a bracket, and its layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from landscape.answer import Finding, Result, Table
from landscape.bracket import findings, pictures, tables
from landscape.estimate import Estimate, Status
from landscape.figures.picture import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True)
class NetworkBracket:
    """The constant of the network: no smaller one holds, no larger one is needed."""

    upper: Estimate
    lower: Estimate
    ratio: float | None  # upper over lower; None where one of them is missing


@dataclass(frozen=True, kw_only=True)
class LayerBracket:
    """The constant of one layer by itself."""

    name: str
    operation: str
    upper: Estimate
    lower: Estimate
    label: str  # exact, certified, or on which domain


@dataclass(frozen=True, kw_only=True)
class ChainBracket:
    """A feed-forward part, certified as a whole."""

    name: str
    base: tuple[str, ...]  # the operations that it starts from
    widths: tuple[int, ...]
    method: str
    upper: Estimate
    product: Estimate  # of the norms of its layers


@dataclass(frozen=True, kw_only=True)
class LipschitzResult(Result):
    """The ℓ₂ Lipschitz constant of one sample's outputs in its inputs, from both sides."""

    name: ClassVar[str] = "lipschitz"
    picture_names: ClassVar[tuple[str, ...]] = ("series", "layers")

    checkpoint: str
    step: int | None
    domain: str  # global, ball
    radius: float | None  # of the ball round the origin
    network: NetworkBracket
    layers: tuple[LayerBracket, ...]
    refused: tuple[str, ...]  # operations without a bound on the domain asked for, with module
    reasons: tuple[str, ...]  # why, one for each
    chains: tuple[ChainBracket, ...]
    at_data: Estimate | None  # the steepest Jacobian at a sample
    verified: bool  # whether the chains were proved from a file alone
    inputs: str = ""  # how their shape was found, where no data told it

    def summary(self) -> str:
        """Return the bracket in one or two lines."""
        return tables.summary_of(self)

    def headline(self) -> tuple[tuple[str, Estimate], ...]:
        """Return both sides, without one that there is none of."""
        sides = (("at most", self.network.upper), ("at least", self.network.lower))
        return tuple(one for one in sides if one[1].status is not Status.SKIPPED) or sides

    def draw(self, axes: Axes, *, label: str | None = None, colour: str | None = None) -> None:
        """Draw the bracket as a bar on a logarithmic axis."""
        pictures.draw_main(axes, self, label=label, colour=colour)

    def pictures(self) -> tuple[Picture, ...]:
        """Return layers, and the brackets over the checkpoints of a series."""
        return pictures.pictures_of(self)

    def caption(self) -> str:
        """Return method and cost."""
        return tables.caption_of(self)

    def tables(self) -> tuple[Table, ...]:
        """Return layers, chains and what was refused."""
        return tables.tables_of(self)

    def findings(self) -> tuple[Finding, ...]:
        """Return what a reader should not miss."""
        return findings.findings_of(self)

    def trust(self) -> tuple[tuple[str, str], ...]:
        """Return what the numbers rest on."""
        return tables.trust_of(self)
