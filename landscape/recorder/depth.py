"""Whether gradients and signals vanish or explode with depth."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from landscape.estimate import Estimate
from landscape.recorder.history import History
from landscape.recorder.verdict import RECENT, Verdict
from landscape.signals.trend import theil_sen

FACTOR = 100.0  # over the whole depth, from which on norms vanish or explode


@dataclass(frozen=True, kw_only=True)
class DepthSlope:
    """How a quantity changes from layer to layer.

    Args:
        kind: gradient (norms of weight matrices), forward or backward (second moments).
        slope: Of its natural logarithm against depth, first to last, with its interval.
        layers: That the line is through.
        verdict: vanishing, exploding, or steady.
    """

    kind: str
    slope: Estimate
    layers: int
    verdict: str

    @property
    def factor(self) -> float:
        """Return the factor from the first layer to the last."""
        return math.exp(min(abs(self.slope.value) * (self.layers - 1), 700.0))


def depth_slopes(history: History) -> tuple[DepthSlope, ...]:
    """Return how gradients and signals change with depth over the last steps."""
    found = []
    recent = slice(-RECENT, None)
    kept = history.matrices & ~history.missing.all(axis=0)
    if len(history.steps):
        places, values = history.depth[kept], _typical(history.before[recent][:, kept])
        found.append(_slope("gradient", places, np.log(values)))
    for kind in ("forward", "backward"):
        values = _typical(history.signals[kind][recent])
        found.append(_slope(kind, np.arange(len(values), dtype=float), np.log(values) / 2))
    return tuple(one for one in found if one is not None)


def _typical(values: np.ndarray) -> np.ndarray:
    """Return the median of every column over rows (t, k); NaN where nothing is positive."""
    values = np.where(np.isfinite(values) & (values > 0), values, np.nan)
    full = ~np.isnan(values).all(axis=0) if len(values) else np.zeros(values.shape[1], bool)
    found = np.full(values.shape[1], np.nan)
    found[full] = np.nanmedian(values[:, full], axis=0)
    return found


def _slope(kind: str, places: np.ndarray, logs: np.ndarray) -> DepthSlope | None:
    slope = theil_sen(places, logs, method="Theil-Sen over layers")
    if slope is None:
        return None
    layers = len(np.unique(places[np.isfinite(logs)]))
    low, high = slope.interval
    span = max(layers - 1, 1)
    verdict = "steady"
    if low > 0 and low * span > math.log(FACTOR):
        verdict = "exploding" if kind == "forward" else "vanishing"
    elif high < 0 and -high * span > math.log(FACTOR):
        verdict = "vanishing" if kind == "forward" else "exploding"
    return DepthSlope(kind=kind, slope=slope, layers=layers, verdict=verdict)


def depth_verdicts(history: History) -> list[Verdict]:
    """Return the slopes that are no accident and large over the whole depth."""
    words = {
        "gradient": "Gradient norms {} towards the first layers",
        "backward": "Backward signals {} towards the first layers",
        "forward": "Activations {} towards the last layers",
    }
    verbs = {"vanishing": "vanish", "exploding": "explode"}
    return [
        Verdict(
            kind=f"{one.verdict} {one.kind}",
            severity="warning",
            sentence=f"{words[one.kind].format(verbs[one.verdict])}: by a factor of "
            f"{one.factor:.2g} over {one.layers} layers.",
            evidence=f"Slope of the logarithm {one.slope:.3g} a layer "
            f"({one.slope.method}; last {RECENT} recorded steps).",
            advice="Try another initial scale, normalisation layers or skip connections.",
        )
        for one in depth_slopes(history)
        if one.verdict != "steady"
    ]
