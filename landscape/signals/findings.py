"""What a reader of gradients and signals should not miss."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from landscape.answer import Finding

if TYPE_CHECKING:
    from landscape.signals.result import GradientsResult

APART = 100.0  # between the first and the last matrix's gradient: the trend is told of
LEAST_MATRICES = 4
DEAD = 0.2  # of a layer's units
SATURATED = 0.9  # of a layer's activations, of functions that saturate at both ends
BOUNDED = ("tanh", "sigmoid", "hardtanh", "hardsigmoid", "softsign")
BIASED = 0.95  # cosine of the clipped gradient
BEYOND = 2.0  # of η β: longer steps grow on a quadratic


def findings_of(result: GradientsResult) -> tuple[Finding, ...]:
    """Return the findings, in the order in which they are looked for."""
    looks = (
        _non_finite,
        _unused,
        _trend,
        _dead,
        _saturated,
        _clipped,
        _growth,
        _spectral,
    )
    return tuple(found for look in looks if (found := look(result)) is not None)


def _non_finite(result: GradientsResult) -> Finding | None:
    if not result.non_finite:
        return None
    return Finding(
        severity="critical",
        sentence=f"{len(result.non_finite)} tensors have gradients that are not finite.",
        evidence=f"{_listed(result.non_finite)}.",
        advice="Look at the loss of single batches, and at the learning rate before.",
    )


def _unused(result: GradientsResult) -> Finding | None:
    if not result.unused:
        return None
    return Finding(
        severity="warning",
        sentence=f"{len(result.unused)} trainable tensors do not move the loss at all.",
        evidence=f"{_listed(result.unused)}.",
        advice="Freeze them or connect them; until then their curvature is exactly 0.",
    )


def _trend(result: GradientsResult) -> Finding | None:
    """Gradients that grow or shrink by a factor in every layer, surely and much."""
    trend, count = result.trend, result.matrices
    if trend is None or count < LEAST_MATRICES:
        return None
    low, high = trend.interval
    across = math.exp(min(abs(trend.value) * (count - 1), 700.0))
    if low <= 0 <= high or across < APART:
        return None
    vanishing = trend.value > 0
    word = "vanish" if vanishing else "explode"
    gain = result.mean_field
    told = f"; mean-field gain χ₁ {gain.gain:.3g} per layer" if gain is not None else ""
    return Finding(
        severity="warning",
        sentence=f"{result.checkpoint}: gradients {word} towards the input, by a factor "
        f"{math.exp(abs(trend.value)):.2g} in every layer.",
        evidence=f"Slope of ln ‖g‖ over {count} matrices {trend:.3g}{told}.",
        advice="Scale initial weights to a gain of 1, or add normalisation or skip connections.",
    )


def _dead(result: GradientsResult) -> Finding | None:
    dead = [one for one in result.signals if one.dead is not None and one.dead.value > DEAD]
    if not dead:
        return None
    worst = max(dead, key=lambda one: float(one.dead or 0.0))
    return Finding(
        severity="warning",
        sentence=f"In {len(dead)} layer{'s' * (len(dead) != 1)} more than {DEAD:.0%} of the units "
        "are flat for every sample that was looked at.",
        evidence=f"Most in {worst.name}: {float(worst.dead or 0.0):.0%} of its units, on "
        f"{worst.forward.samples:,} samples.",
        advice="Lower the learning rate or the bias, or use an activation function that leaks.",
    )


def _saturated(result: GradientsResult) -> Finding | None:
    found = [
        one
        for one in result.signals
        if one.kind in BOUNDED and one.saturated is not None and one.saturated.value > SATURATED
    ]
    if not found:
        return None
    worst = max(found, key=lambda one: float(one.saturated or 0.0))
    return Finding(
        severity="warning",
        sentence=f"{len(found)} layers are saturated: hardly any slope is left.",
        evidence=f"In {worst.name} {float(worst.saturated or 0.0):.0%} of the activations have a "
        "slope below a twentieth of the steepest.",
        advice="Start from smaller weights, normalise before the activation, or decay the weights.",
    )


def _clipped(result: GradientsResult) -> Finding | None:
    found = result.per_sample
    asked = (
        next((one for one in found.clipped if one.origin == "asked for"), None) if found else None
    )
    if asked is None or not asked.cosine.interval[1] < BIASED:
        return None
    return Finding(
        severity="notable",
        sentence=f"Clipping every sample's gradient to {asked.threshold:g} turns the mean: cosine "
        f"{asked.cosine:.3g}.",
        evidence=f"{asked.fraction.value:.0%} of the samples are clipped, and the mean keeps "
        f"{asked.ratio:.2g} of its length.",
        advice="For private training choose a larger threshold, or expect biased steps.",
    )


def _growth(result: GradientsResult) -> Finding | None:
    fit = result.growth
    if fit is None or fit.trend is None or fit.threshold is None or fit.trend.interval[0] <= 0:
        return None
    return Finding(
        severity="notable",
        sentence="Longer gradients change faster: smoothness grows with the gradient.",
        evidence=f"Slope {fit.trend:.3g} over {len(fit.norms)} checkpoints; L₀ "
        f"{fit.constant.value:.3g}, L₁ {fit.slope.value:.3g}.",
        advice=f"Clip the gradient's length at about {fit.threshold.value:.2g}.",
    )


def _spectral(result: GradientsResult) -> Finding | None:
    judged = [one for one in result.conditioning if one.spectral_wins is not None]
    wins = [one.name for one in judged if one.spectral_wins]
    if len(judged) < LEAST_MATRICES or len(wins) < 0.75 * len(judged):
        return None
    return Finding(
        severity="notable",
        sentence=f"In {len(wins)} of {len(judged)} layers one step with equal singular values "
        "(Muon's) would lower the loss more than one along the gradient.",
        evidence="There the nuclear rank of the gradient exceeds the stable rank of the inputs.",
        advice="It is a statement about one step on these data, not about a whole training.",
    )


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
