"""The answer to a coordinate check: exponents of the width, module by module."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from landscape.answer import Finding, Result, Table
from landscape.coordinates import findings, pictures, tables
from landscape.coordinates.slopes import Outcome, steepest_of
from landscape.estimate import Estimate
from landscape.figures.picture import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EXITS: dict[Outcome, int] = {"pass": 0, "fail": 1, "undecided": 7}


@dataclass(frozen=True, kw_only=True)
class ModuleScaling:
    """How the activation x of one module scales with the width.

    Args:
        name: Of the module; "" is the whole network.
        kind: Its class.
        sizes: Slopes of ln E|x(t)|, t = 0 … steps; None where the activation is zero.
        changes: Slopes of ln E|x(t) − x(0)|, t = 1 … steps; None where nothing moved.
        own: Slopes of ln E|(W(t) − W(0)) z(t)| for the weight W and the input z, t = 1 … steps:
            what the module learns by itself; empty where it is no linear map of its input.
        size: E|x(t)| (steps + 1, widths), geometric mean over seeds.
        change: E|x(t) − x(0)| (steps + 1, widths), likewise.
        learnt: E|(W(t) − W(0)) z(t)| (steps + 1, widths), likewise; None where `own` is empty.
        outcome: fail where a size grows, or a change, its own or not, grows or vanishes, by more
            than the tolerance.
    """

    name: str
    kind: str
    sizes: tuple[Estimate | None, ...]
    changes: tuple[Estimate | None, ...]
    own: tuple[Estimate | None, ...]
    size: np.ndarray
    change: np.ndarray
    learnt: np.ndarray | None
    outcome: Outcome

    @property
    def shown(self) -> str:
        """Return what to call it."""
        return f"{self.name or 'the network'} {self.kind}"

    @property
    def steepest_change(self) -> tuple[int, Estimate] | None:
        """Return the step and slope of the change that is farthest from zero."""
        return steepest_of(self.changes)

    @property
    def steepest_own(self) -> tuple[int, Estimate] | None:
        """Return the same of what its own weights do."""
        return steepest_of(self.own)


def not_finite(modules: Sequence[ModuleScaling]) -> str:
    """Return what was not finite, or not to be compared, in a sentence; empty if nothing was."""
    for module in modules:
        for slopes in (module.sizes, module.changes, module.own):
            for one in slopes:
                if one is not None and not math.isfinite(one.value):
                    return f"The activation of {module.shown} is {one.reason}."
    return ""


@dataclass(frozen=True, kw_only=True)
class CoordcheckResult(Result):
    """Exponents of the width, and whether they pass.

    Args:
        model: The factory.
        optimizer: In words.
        widths: In increasing order.
        parameters: Of the network of every width.
        tolerance: The exponent that passes as zero.
        verdict: fail where a module fails, else undecided where one is, else pass.
        modules: In the order of their first calls.
        loss: Of the batch (steps + 1, widths), mean over seeds.
    """

    name: ClassVar[str] = "coordcheck"
    version: ClassVar[int] = 2
    picture_names: ClassVar[tuple[str, ...]] = ("curves",)

    model: str
    optimizer: str
    widths: tuple[int, ...]
    parameters: tuple[int, ...]
    tolerance: float
    verdict: Outcome
    modules: tuple[ModuleScaling, ...]
    loss: np.ndarray

    @property
    def exit_code(self) -> int:
        """Return 0 for pass, 1 for fail, 7 for undecided."""
        return EXITS[self.verdict]

    @property
    def label(self) -> str:
        """Return the factory."""
        return self.model

    def module(self, name: str) -> ModuleScaling:
        """Return one module by name; "" is the whole network."""
        return next(one for one in self.modules if one.name == name)

    def summary(self) -> str:
        """Return the verdict and what decides it."""
        return tables.summary_of(self)

    def headline(self) -> tuple[tuple[str, Estimate], ...]:
        """Return the steepest change of all."""
        return tables.headline_of(self)

    def draw(self, axes: Axes, *, label: str | None = None, colour: str | None = None) -> None:
        """Draw the exponents, module by module."""
        pictures.draw_main(axes, self, label=label, colour=colour)

    def pictures(self) -> tuple[Picture, ...]:
        """Return the curves against the width."""
        return pictures.pictures_of(self)

    def caption(self) -> str:
        """Return method and cost."""
        return tables.caption_of(self)

    def tables(self) -> tuple[Table, ...]:
        """Return the exponents by module, and the loss by width."""
        return tables.tables_of(self)

    def findings(self) -> tuple[Finding, ...]:
        """Return what a reader should not miss."""
        return findings.findings_of(self)

    def trust(self) -> tuple[tuple[str, str], ...]:
        """Return what the numbers rest on."""
        return tables.trust_of(self)
