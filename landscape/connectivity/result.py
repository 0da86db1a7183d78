"""The answer to whether networks are connected by paths of low loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from landscape.answer import Finding, Result, Table
from landscape.connectivity import findings, pictures, tables
from landscape.estimate import Estimate, Status
from landscape.figures.picture import Picture
from landscape.paths.verdict import Tolerance, Word

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BARRIER_EXIT = 1
UNDECIDED_EXIT = 7


@dataclass(frozen=True, kw_only=True)
class Barrier:
    """The supremum over t of a quantity less the line between its values at the ends."""

    loss: Estimate
    error: Estimate | None


@dataclass(frozen=True, kw_only=True)
class Definitions:
    """The barriers that are in use, of one quantity on the same points.

    Args:
        supremum: max over t of f(t) − (1 − t) f(0) − t f(1) (Entezari 2021, arXiv 2110.06296).
        mean: max f − (f(0) + f(1)) / 2 (Frankle 2020, arXiv 1912.05671).
        maximum: max f (Garipov 2018, arXiv 1802.10026).
        midpoint: f(½) − (f(0) + f(1)) / 2.
    """

    supremum: Estimate
    mean: Estimate
    maximum: Estimate
    midpoint: Estimate


@dataclass(frozen=True, kw_only=True)
class Band:
    """The simultaneous band of a quantity along a path."""

    lower: np.ndarray  # (T,)
    upper: np.ndarray  # (T,)


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """The same path on the data that it was fitted on, or that the networks were trained on."""

    t: np.ndarray  # (T,), refined where this loss asks for it
    loss: np.ndarray  # (T,)
    error: np.ndarray | None  # (T,)
    barrier: Barrier
    verdict: Word


@dataclass(frozen=True, kw_only=True)
class PathAnswer:
    """One path between two networks, judged."""

    t: np.ndarray  # (T,)
    loss: np.ndarray  # (T,)
    error: np.ndarray | None  # (T,)
    loss_band: Band
    error_band: Band | None
    barrier: Barrier
    argmax: float  # where the loss is furthest above the line between the ends
    verdict: Word
    reason: str
    more_samples: int | None  # that would decide an inconclusive verdict, as an estimate
    loss_definitions: Definitions
    error_definitions: Definitions | None
    hidden: float  # estimate of what may lie between two points of the grid, in loss
    stale: np.ndarray | None  # (T,), the loss with BatchNorm statistics that were not recomputed
    length: float  # of the path over that of its chord
    training: Fitted | None  # where the verdict rests on held-out data

    @property
    def settled(self) -> bool:
        """Return whether the verdict says one thing or the other."""
        return self.verdict in ("connected", "barrier")


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """The permutation under which the second network was brought near the first.

    Args:
        method: weights or activations.
        groups: Of units that may change places.
        moved: Share of the weights that some permutation moves.
        units: Share of the units that this one moves.
        proof: Relative error of the outputs under random permutations, in float64.
        distance: ‖θ_A − π θ_B‖ over ‖θ_A − θ_B‖.
    """

    method: str
    groups: int
    moved: float
    units: float
    proof: float
    distance: float


@dataclass(frozen=True, kw_only=True)
class PlaneLoss:
    """The loss on the plane through A, the bend and B."""

    x: np.ndarray  # (g,), distances in weight space
    y: np.ndarray  # (h,)
    loss: np.ndarray  # (h, g)
    corners: np.ndarray  # (3, 2)
    path: np.ndarray  # (T, 2)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two networks, and whether a path connects them."""

    a: str
    b: str
    verdict: Word
    by: str | None
    reason: str
    tolerance: Tolerance
    paths: dict[str, PathAnswer]
    missing: dict[str, str]  # paths that were asked for and not judged, with the reason
    alignment: Alignment | None
    plane: PlaneLoss | None
    cut: str = ""  # what a budget left out; empty: nothing

    @property
    def name(self) -> str:
        """Return both names."""
        return f"{self.a} – {self.b}"

    @property
    def best(self) -> PathAnswer | None:
        """Return the path that connects the pair, or the one with the lowest barrier."""
        if self.by is not None:
            return self.paths[self.by]
        judged = [self.paths[name] for name in JUDGED if name in self.paths]
        return min(judged, key=lambda path: path.barrier.loss.value, default=None)


JUDGED = ("line", "aligned", "curve")  # cheapest first; what else is told does not decide


@dataclass(frozen=True, kw_only=True)
class Group:
    """Units that may change places together, or an axis that may not, and why."""

    name: str
    kind: str
    size: int
    axes: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ConnectResult(Result):
    """Whether networks are connected, pair by pair, and the components that this makes."""

    name: ClassVar[str] = "connect"
    picture_names: ClassVar[tuple[str, ...]] = ("error", "plane", "graph")
    better: ClassVar = {
        "pairs[*].paths[*].barrier.loss": "lower",
        "pairs[*].paths[*].barrier.error": "lower",
    }

    checkpoint: str  # all names
    checkpoints: tuple[str, ...]
    path: str  # that was asked for
    level: float  # of the bands, before it is shared among the paths
    judged_on: str
    samples: int
    pairs: tuple[Pair, ...]
    components: tuple[tuple[str, ...], ...]
    whole: tuple[bool, ...]  # whether all pairs of a component are connected
    fewest: int  # components, were every undecided pair connected
    explained: tuple[Group, ...]

    @property
    def verdict(self) -> Word:
        """Return the gravest verdict of a pair, in the order in which exit codes go by it."""
        found = {pair.verdict for pair in self.pairs}
        order: tuple[Word, ...] = ("barrier", "refused", "inconclusive", "connected")
        return next(verdict for verdict in order if verdict in found)

    @property
    def exit_code(self) -> int:
        """Return 1 when any pair has a barrier, else 7 when any is undecided, else 0."""
        if self.verdict == "barrier":
            return BARRIER_EXIT
        return 0 if self.verdict == "connected" else UNDECIDED_EXIT

    @property
    def declined(self) -> str:
        """Return in a sentence why there is no verdict on any pair; empty where there is one."""
        if not self.pairs or any(pair.verdict != "refused" for pair in self.pairs):
            return ""
        first = self.pairs[0]
        more = " (and the other pairs alike)" if len(self.pairs) > 1 else ""
        return f"an end of {first.name} is not a trained network: {first.reason}{more}"

    @property
    def alone(self) -> Pair | None:
        """Return the pair, where there is only one."""
        return self.pairs[0] if len(self.pairs) == 1 else None

    @property
    def drawn(self) -> Pair | None:
        """Return the pair whose paths are shown: the only one, or the only one that is judged."""
        judged = [pair for pair in self.pairs if pair.verdict != "refused"]
        return judged[0] if len(judged) == 1 else self.alone

    def summary(self) -> str:
        """Return the verdict in one or two lines."""
        return tables.summary_of(self)

    def headline(self) -> tuple[tuple[str, Estimate], ...]:
        """Return the barriers of the paths of a single pair; none where an end is untrained."""
        if (pair := self.drawn) is None or pair.verdict == "refused":
            return ()
        return tuple((f"{name} barrier", path.barrier.loss) for name, path in pair.paths.items())

    def draw(self, axes: Axes, *, label: str | None = None, colour: str | None = None) -> None:
        """Draw the loss along the paths of a pair, or the matrix of many."""
        pictures.draw_main(axes, self, label=label, colour=colour)

    def pictures(self) -> tuple[Picture, ...]:
        """Return the figures beside the main one: error along the paths, plane, graph."""
        return pictures.pictures_of(self)

    def caption(self) -> str:
        """Return method and cost."""
        return tables.caption_of(self)

    def tables(self) -> tuple[Table, ...]:
        """Return pairs, paths, components and, where asked for, the groups."""
        return tables.tables_of(self)

    def findings(self) -> tuple[Finding, ...]:
        """Return what a reader should not miss."""
        return findings.findings_of(self)

    def trust(self) -> tuple[tuple[str, str], ...]:
        """Return what the verdicts rest on."""
        return tables.trust_of(self)


def status_of(pairs: tuple[Pair, ...]) -> tuple[Status, str]:
    """Return how the study ended; the message tells of the first pair that is undecided.

    A loss that is not finite on the way is a barrier, and an answer; at an end it is none.
    """
    for pair in pairs:
        for path in pair.paths.values():
            if not np.isfinite(path.loss[[0, -1]]).all():
                return Status.NOT_FINITE, f"The loss of an end of {pair.name} is not finite."
    if cut := next((pair for pair in pairs if pair.cut), None):
        return Status.BUDGET_SPENT, f"{cut.name}: {cut.cut}."
    undecided = (pair for pair in pairs if pair.verdict in ("inconclusive", "refused"))
    return Status.CONVERGED, next((f"{pair.name}: {pair.reason}." for pair in undecided), "")
