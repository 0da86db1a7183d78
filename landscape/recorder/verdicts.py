"""What a run shows that its owner should know, each with its evidence and what to try."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from landscape.estimate import Estimate
from landscape.recorder.answers import waiting
from landscape.recorder.breakdown import not_finite
from landscape.recorder.depth import depth_verdicts
from landscape.recorder.gaps import changes, failures
from landscape.recorder.history import History
from landscape.recorder.idle import dead_units, idle_layers
from landscape.recorder.spikes import spikes
from landscape.recorder.verdict import Verdict
from landscape.signals.intervals import share

LEAST_STEPS = 20  # before a share is judged
ALWAYS = 0.9  # share of steps that are clipped
OFTEN = 0.05  # share of steps that are skipped


def verdicts_of(history: History) -> tuple[Verdict, ...]:
    """Return what was found, gravest first."""
    looks: tuple[Callable[[History], list[Verdict]], ...] = (
        not_finite,
        beyond_stability,
        spikes,
        depth_verdicts,
        idle_layers,
        clipping,
        skipping,
        dead_units,
        failures,
        changes,
        waiting,
    )
    gravity = ("critical", "warning", "notable")
    found = [one for look in looks for one in look(history)]
    return tuple(sorted(found, key=lambda one: gravity.index(one.severity)))


def beyond_stability(history: History) -> list[Verdict]:
    """Return whether the last measured margin lies beyond the edge of stability."""
    for record in reversed(history.answers):
        margin = record.get("document", {}).get("answer", {}).get("stability")
        if not margin or margin.get("verdict") == "not judged":
            continue
        interval = margin["margin"]["interval"]
        low = interval[0] if interval[0] is not None else -math.inf
        if margin["verdict"] != "above" or not margin.get("settled") or low <= 1:
            return []
        symbol = "λ₁(P⁻¹H)" if margin.get("preconditioned") else "λ₁"
        return [
            Verdict(
                kind="learning rate",
                severity="warning",
                sentence="The learning rate lies beyond the stability margin.",
                evidence=f"{symbol} is {margin['margin']['value']:.3g} times the threshold "
                f"{margin['threshold']:.4g} of {margin['rule']} at learning rate "
                f"{margin['learning_rate']:g} (step {record['step']}).",
                advice="Lower it, or warm it up; at the edge (1.0) training hovers by itself.",
                step=record["step"],
            )
        ]
    return []


def clip_rate(history: History) -> Estimate | None:
    """Return the share of steps whose gradient was changed before the optimizer took it."""
    count = int((~history.skipped).sum())
    if not count:
        return None
    clipped = int(history.clipped[~history.skipped].sum())
    return share(clipped, count, "recorded steps, as draws; Clopper-Pearson")


def clipping(history: History) -> list[Verdict]:
    """Return whether nearly every step was clipped."""
    rate = clip_rate(history)
    if rate is None or rate.samples < LEAST_STEPS or rate.interval[0] < ALWAYS:
        return []
    rows = history.clipped & ~history.skipped
    with np.errstate(divide="ignore", invalid="ignore"):
        kept = np.nanmedian(history.total[rows] / history.total_before[rows])
    power = math.log2(1 / kept) if 0 < kept < 1 else 0.5
    scaled = kept < 0.1 and abs(power - round(power)) < 1e-3 and not (history.scale != 1).any()
    advice = (
        "This looks like a GradScaler that the recorder does not know: give it scaler=."
        if scaled
        else "Raise the threshold or lower the learning rate: this is normalised gradient descent."
    )
    return [
        Verdict(
            kind="clipping",
            severity="warning",
            sentence=f"The gradient is clipped nearly always: at {rate.value:.0%} of the steps.",
            evidence=f"{rate.samples:,} steps, interval {rate.interval[0]:.0%} to "
            f"{rate.interval[1]:.0%}; the median step keeps {kept:.2g} of its length.",
            advice=advice,
        )
    ]


def skipping(history: History) -> list[Verdict]:
    """Return whether the scaler skips many steps."""
    count, missed = len(history.steps), int(history.skipped.sum())
    if count < LEAST_STEPS or not missed:
        return []
    rate = share(missed, count, "recorded steps, as draws; Clopper-Pearson")
    if rate.interval[0] <= OFTEN:
        return []
    return [
        Verdict(
            kind="skipped steps",
            severity="warning",
            sentence=f"{rate.value:.0%} of the steps are skipped, because gradients overflow.",
            evidence=f"{missed} of {count}; loss scale from {history.scale.max():g} to "
            f"{history.scale.min():g}.",
            advice="Use bfloat16, or look for the layer whose gradient overflows.",
        )
    ]
