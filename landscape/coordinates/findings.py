"""What a reader of a coordinate check should not miss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from landscape.answer import Finding
from landscape.coordinates.slopes import judged
from landscape.estimate import Estimate

if TYPE_CHECKING:
    from landscape.coordinates.result import CoordcheckResult

GROWS = (
    "Divide its learning rate by the width: Adam by the fan-in for hidden and output layers, SGD "
    "for the output (table 3 of arXiv 2203.03466)."
)
STOPS = (
    "Raise its learning rate: as it is, it falls faster with the width than its fan-in asks for "
    "(table 3 of arXiv 2203.03466)."
)
VANISHES = (
    "It learns less the wider the network: raise its learning rate with the width, or make the "
    "output smaller at initialisation instead of the updates."
)
LARGE = "Draw its weights with a variance of 1 / fan-in, and scale what adds up by the width."


def findings_of(result: CoordcheckResult) -> tuple[Finding, ...]:
    """Return the findings, gravest first."""
    made = (
        _still(result),
        _sizes(result),
        _changes(result),
        _own(result),
        _undecided(result),
        _broken(result),
    )
    return tuple(one for one in made if one is not None)


def _sizes(result: CoordcheckResult) -> Finding | None:
    """Tell of activations that are too large before training begins."""
    failing = [
        (one, slope)
        for one in result.modules
        if (slope := one.sizes[0]) and judged(slope, result.tolerance, may_fall=True) == "fail"
    ]
    if not failing:
        return None
    module, slope = max(failing, key=lambda pair: pair[1].value)
    return Finding(
        severity="critical",
        sentence=f"Before training, the activations of {module.shown} grow with the width"
        f"{_others(len(failing))}.",
        evidence=f"E|x(0)| grows as width to the {slope}.",
        advice=LARGE,
    )


def _changes(result: CoordcheckResult) -> Finding | None:
    """Tell of the layer whose training depends most on the width."""
    return _steepest(
        [(one.shown, _failing(one.changes, result.tolerance)) for one in result.modules],
        sentence="What training does to {0} {1} with the width{2}: the best learning rate depends "
        "on it.",
        measured="E|x({0}) − x(0)|",
        falls=VANISHES,
    )


def _own(result: CoordcheckResult) -> Finding | None:
    """Tell of the layer whose own weight learns by the width, unseen in its output."""
    return _steepest(
        [
            (one.shown, _failing(one.own, result.tolerance))
            for one in result.modules
            if _failing(one.changes, result.tolerance) is None
        ],
        sentence="What {0} learns by itself {1} with the width{2}, whatever comes from below.",
        measured="E|(W({0}) − W(0)) z| at its input z",
        falls=STOPS,
    )


def _steepest(
    modules: Sequence[tuple[str, tuple[int, Estimate] | None]],
    *,
    sentence: str,
    measured: str,
    falls: str,
) -> Finding | None:
    """Return the finding of the module that depends most on the width, if any fails.

    Args:
        modules: Named, with the step and slope at which each fails; None: it does not.
        sentence: Of the module, whether it grows or vanishes, and how many others there are.
        measured: What the slope is of, at a step.
        falls: The advice where it vanishes.
    """
    failing = [(shown, *found) for shown, found in modules if found is not None]
    if not failing:
        return None
    shown, step, slope = max(failing, key=lambda one: abs(one[2].value))
    grows = slope.value > 0
    return Finding(
        severity="critical",
        sentence=sentence.format(shown, "grows" if grows else "vanishes", _others(len(failing))),
        evidence=f"{measured.format(step)} goes as width to the {slope}.",
        advice=GROWS if grows else falls,
    )


def _failing(slopes: Sequence[Estimate | None], tolerance: float) -> tuple[int, Estimate] | None:
    found = [
        (step, one)
        for step, one in enumerate(slopes, 1)
        if one is not None and judged(one, tolerance, may_fall=False) == "fail"
    ]
    return max(found, key=lambda pair: abs(pair[1].value), default=None)


def _undecided(result: CoordcheckResult) -> Finding | None:
    if result.verdict != "undecided":
        return None
    open_ones = [one.shown for one in result.modules if one.outcome == "undecided"]
    if not open_ones:
        return None
    return Finding(
        severity="warning",
        sentence=f"Whether {open_ones[0]} depends on the width is undecided"
        f"{_others(len(open_ones))}.",
        evidence=f"An interval straddles the tolerance of {result.tolerance:g}.",
        advice="Give more widths, wider ones, or more --seeds.",
    )


def _still(result: CoordcheckResult) -> Finding | None:
    if any(slope is not None for one in result.modules for slope in one.changes):
        return None
    return Finding(
        severity="critical",
        sentence="Training moved nothing.",
        evidence="Every activation is as it was before the first step, to rounding.",
        advice="Raise the learning rate, or check what the optimizer holds.",
    )


def _broken(result: CoordcheckResult) -> Finding | None:
    if result.status.settled:
        return None
    return Finding(
        severity="warning",
        sentence="Not every activation could be followed through all steps.",
        evidence=result.message,
        advice="Lower the learning rate, or take fewer --steps.",
    )


def _others(count: int) -> str:
    return f" ({count} modules)" if count > 1 else ""
