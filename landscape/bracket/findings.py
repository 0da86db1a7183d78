"""What a reader of a bracket should not miss."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from landscape.answer import Finding

if TYPE_CHECKING:
    from landscape.bracket.result import LipschitzResult

LOOSE = 100.0  # ratio of the bracket from which on the upper side says little


def findings_of(result: LipschitzResult) -> tuple[Finding, ...]:
    """Return the findings, gravest first."""
    made = (_refused(result), _loose(result), _tried(result))
    return tuple(one for one in made if one is not None)


def _refused(result: LipschitzResult) -> Finding | None:
    if not result.refused:
        return None
    name, reason = result.refused[0], result.reasons[0]
    bounded = math.isfinite(result.network.upper.value)
    several = f" ({len(result.refused)} operations)" if len(result.refused) > 1 else ""
    if bounded:
        return Finding(
            severity="notable",
            sentence=f"There is no global Lipschitz bound because of {name}{several}.",
            evidence=f"Reason: {reason}.",
            advice="The bound given holds on the ball alone.",
        )
    attained = math.isfinite(result.network.lower.value)
    stands = "The attained lower side stands; a" if attained else "A"
    return Finding(
        severity="warning",
        sentence=f"There is no upper Lipschitz bound because of {name}{several}.",
        evidence=f"Reason: {reason}.",
        advice=f"{stands}sk for --domain ball where a ball would do"
        f"{', with its --radius' if result.inputs else ''}.",
    )


def _loose(result: LipschitzResult) -> Finding | None:
    network = result.network
    if network.ratio is None or network.ratio < LOOSE:
        return None
    worst = [one for one in result.layers if math.isfinite(one.upper.value)]
    steepest = max(worst, key=lambda one: one.upper.value, default=None)
    told = f" The steepest layer is {steepest.name}: {steepest.upper:.3g}." if steepest else ""
    return Finding(
        severity="notable",
        sentence=f"The Lipschitz constant is known only within a factor of {network.ratio:.3g}.",
        evidence=f"A pair attains {network.lower.value:.3g}; {network.upper.value:.3g} is proved."
        + told,
        advice="Bounds composed layer by layer are loose; compare networks by both sides.",
    )


def _tried(result: LipschitzResult) -> Finding | None:
    if not result.inputs:
        return None
    what, _, more = result.inputs.partition("; ")
    fit, _, advice = more.rpartition("; ")
    return Finding(
        severity="notable",
        sentence=f"No data told the shape of the inputs: {what}.",
        evidence=f"{fit[:1].upper()}{fit[1:]}.",
        advice=f"{advice}.",
    )
