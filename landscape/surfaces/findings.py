"""What a reader of a loss surface should not miss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from landscape.answer import Finding
from landscape.surfaces.tables import lowest_cell

if TYPE_CHECKING:
    from landscape.surfaces.result import Sheet, SurfaceResult

MUCH = 0.01  # share of unreliable cells that is told
POOR = 0.8  # share of a run's squared distances, below which the plane is told to hold little
SURE = 3.0  # standard errors
NEGLIGIBLE = 0.01  # of the loss: a cell that is lower by less is not told
STALE = 0.05  # of the loss: the same for what other statistics change


def findings_of(result: SurfaceResult) -> tuple[Finding, ...]:
    """Return the findings, gravest first."""
    looks = (_disagreement, _unreliable, _lower, _stale, _off_plane, _unresolved)
    return tuple(one for look in looks if (one := look(result)) is not None)


def _disagreement(result: SurfaceResult) -> Finding | None:
    wrong = [one for one in result.checks if one.agrees is False]
    if not wrong:
        return None
    one = wrong[0]
    return Finding(
        severity="warning",
        sentence="The slice and the Hessian disagree on the curvature.",
        evidence=f"Along {one.direction} at {one.checkpoint} the second difference is "
        f"{one.difference:.4g}, that of slopes {one.by_slopes:.4g}, and uᵀHu {one.product:.4g}.",
        advice="One of the derivatives is wrong, or the loss is not smooth there: run "
        "`landscape doctor`.",
    )


def _unresolved(result: SurfaceResult) -> Finding | None:
    checked = [one for one in result.checks if not one.left_out and not one.reason]
    open_ones = [one for one in checked if one.agrees is None]
    if not open_ones:
        return None
    one = open_ones[0]
    return Finding(
        severity="notable",
        sentence="The curvature of the slice is not resolved, so that it confirms nothing.",
        evidence=f"Along {one.direction} at {one.checkpoint} the second difference is "
        f"{one.difference:.3g}.",
        advice="The weights may stand on a kink of an activation (zero biases, zero inputs); "
        "at a point nearby there is none.",
    )


def _unreliable(result: SurfaceResult) -> Finding | None:
    cells = np.concatenate([one.unreliable.ravel() for one in result.sheets])
    infinite = np.concatenate([one.infinite.ravel() for one in result.sheets])
    if cells.mean() <= MUCH:
        return None
    return Finding(
        severity="warning" if infinite.any() else "notable",
        sentence=f"{cells.mean():.0%} of the surface is unreliable, and hatched.",
        evidence=f"Of {cells.size:,} cells {int(infinite.sum()):,} are not finite; in the others "
        "the 95 % half-width exceeds half of the loss.",
        advice="Look closer to the centre (a smaller --span), or give more samples.",
    )


def _lower(result: SurfaceResult) -> Finding | None:
    """Return where the loss is lower than at the checkpoint in the middle."""
    for sheet in result.sheets:
        if sheet.here is None or sheet.infinite.all():
            continue
        cell = lowest_cell(sheet)
        value, doubt = float(sheet.loss[cell]), float(sheet.loss_deviation[cell])
        low = sheet.here.interval[0]
        if value + SURE * np.nan_to_num(doubt) < low and value < (1 - NEGLIGIBLE) * low:
            return Finding(
                severity="notable",
                sentence=f"{sheet.checkpoint} is not the lowest point of its slice.",
                evidence=f"The loss is {sheet.here:.3g} at the checkpoint and {value:.3g} at the "
                "lowest cell.",
                advice="Training had not ended in the directions of this slice.",
            )
    return None


def _stale(result: SurfaceResult) -> Finding | None:
    """Return where recomputed statistics give another loss than the checkpoint's own."""
    for sheet in result.sheets:
        if sheet.here is None or not apart(sheet):
            continue
        return Finding(
            severity="notable",
            sentence=f"Recomputed BatchNorm statistics change the loss of {sheet.checkpoint}.",
            evidence=f"It is {sheet.centre:.3g} with the saved statistics, {sheet.here:.3g} with "
            "those recomputed on these data.",
            advice="The surface has recomputed statistics everywhere; --statistics kept shows "
            "the network as it was saved.",
        )
    return None


def apart(sheet: Sheet) -> bool:
    """Return whether the loss differs, on the same samples, by more than is negligible."""
    if sheet.here is None:
        return False
    gap = abs(sheet.here.value - sheet.centre.value)
    return bool(gap > STALE * abs(sheet.centre.value))


def _off_plane(result: SurfaceResult) -> Finding | None:
    if result.explained is None or result.explained.sum() >= POOR:
        return None
    far = max(result.places, key=lambda one: one.apart)
    return Finding(
        severity="notable",
        sentence=f"The plane explains only {result.explained.sum():.0%} of the run's squared "
        "distances from the last checkpoint.",
        evidence=f"{far.name} lies {far.apart:.3g} off it.",
        advice="Read the loss of the checkpoints from the table, not from the contours under them.",
    )
