"""From the runs of a trial to its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from landscape.pruning.mask import Mask
from landscape.tickets.arms import DENSE, TICKET
from landscape.tickets.judgement import ArmAnswer, TicketAnswer
from landscape.tickets.trial import ArmRuns
from landscape.tickets.verdict import Comparison, Runs, compared, judged, mean_of

OVER = "mean over seeds"


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What verdicts are given by.

    Args:
        level: For all masks together.
        margin: Of a share, or of the mean loss of the dense network.
        dense: Its runs.
        masks: How many are judged.
    """

    level: float
    margin: float
    dense: ArmRuns
    masks: int

    @property
    def accuracy(self) -> bool:
        """Return whether the accuracy decides."""
        return self.dense.judged[0].errors is not None

    @property
    def quantity(self) -> str:
        """Return what decides."""
        return "accuracy" if self.accuracy else "loss"

    def ticket(self, name: str, mask: Mask, arms: Mapping[str, ArmRuns]) -> TicketAnswer:
        """Return the verdict on one mask."""
        runs = {arm: self._runs(found) for arm, found in arms.items()}
        controls = {arm: one for arm, one in runs.items() if arm != TICKET}
        unit = "points" if self.accuracy else "loss"
        level, margin = 1 - (1 - self.level) / self.masks, self._margin
        trial = judged(runs[TICKET], controls, level=level, margin=margin, unit=unit)
        beside = self._beside(runs[TICKET], level, margin, unit)
        return TicketAnswer(
            mask=name,
            method=str(mask.provenance.get("method", "")),
            density=mask.density,
            kept=mask.total,
            verdict=trial.verdict,
            reason=trial.reason,
            more_seeds=trial.more_seeds,
            comparisons=trial.comparisons,
            dense_gap=beside.difference,
            matching=_matching(beside, margin),
            layers=arms[TICKET].paths.layers,
        )

    def arm(self, mask: str, found: ArmRuns) -> ArmAnswer:
        """Return what is told of one arm."""
        losses = Runs.of(found.judged, accuracy=False)
        right = Runs.of(found.judged, accuracy=True) if self.accuracy else None
        return ArmAnswer(
            arm=found.arm,
            mask=mask,
            density=1.0 if found.arm == DENSE else found.mask.density,
            kept=found.mask.total,
            accuracy=mean_of(right, level=self.level, sign=1, method=OVER) if right else None,
            loss=mean_of(losses, level=self.level, sign=-1, method=OVER),
            runs=tuple(float(one) for one in (right.values if right else -losses.values)),
            effective_density=found.paths.effective,
            warning=found.paths.warning,
        )

    def _runs(self, found: ArmRuns) -> Runs:
        return Runs.of(found.judged, accuracy=self.accuracy)

    @property
    def _margin(self) -> float:
        """Return the least difference that matters, in the units of the runs."""
        if self.accuracy:
            return self.margin
        return self.margin * abs(float(np.mean([one.loss for one in self.dense.judged])))

    def _beside(self, ticket: Runs, level: float, margin: float, unit: str) -> Comparison:
        return compared(
            ticket, self._runs(self.dense), DENSE, level=level, margin=margin, shared=1, unit=unit
        )


def _matching(beside: Comparison, margin: float) -> str:
    """Return whether a ticket is as good as the dense network to within the margin."""
    if beside.difference.samples < 2:
        return "not resolved"
    low, high = beside.difference.interval
    if low > -margin:
        return "yes"
    return "no" if high < -margin else "not resolved"
