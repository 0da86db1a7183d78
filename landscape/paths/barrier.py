"""How high a path rises above its ends, by the four definitions in use."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from landscape.errors import SettingError
from landscape.estimate import Estimate
from landscape.paths.band import Band, simultaneous_band
from landscape.paths.evaluation import Evaluated, weighted_mean
from landscape.paths.grid import hidden

Definition = Literal["supremum", "mean", "maximum", "midpoint"]

SOURCES: Mapping[Definition, str] = {
    "supremum": "highest above the line between the ends' values (Entezari et al. 2022)",
    "mean": "highest above the mean of the ends' values (Frankle et al. 2020)",
    "maximum": "highest value (Garipov et al. 2018)",
    "midpoint": "value at ½ above the mean of the ends' values (Jordan et al. 2023)",
}
ROUNDING = 1e-5  # of the largest loss: samples that differ by less everywhere see one function


@dataclass(frozen=True, kw_only=True)
class Barrier:
    """How high one quantity rises on a path.

    Args:
        supremum: sup_t [f(t) − (1 − t) f(0) − t f(1)], never negative: the barrier.
        mean: max_t f(t) − (f(0) + f(1)) / 2.
        maximum: max_t f(t).
        midpoint: f(½) − (f(0) + f(1)) / 2.
        argmax: The t of the supremum.
        hidden: How much higher the path may rise between the points looked at; an estimate.
        value: f (T,).
        lower: Band of f(t) − (1 − t) f(0) − t f(1) about the baseline, added to the baseline (T,).
        upper: The same (T,).
    """

    supremum: Estimate
    mean: Estimate
    maximum: Estimate
    midpoint: Estimate
    argmax: float
    hidden: float
    value: np.ndarray  # (T,)
    lower: np.ndarray  # (T,)
    upper: np.ndarray  # (T,)

    def by(self, definition: Definition) -> Estimate:
        """Return the barrier by a definition."""
        return getattr(self, definition)


@dataclass(frozen=True, kw_only=True)
class Barriers:
    """The barriers of a path in loss and, where there is one, in error."""

    loss: Barrier
    error: Barrier | None


def barriers(evaluated: Evaluated, *, generator: torch.Generator, level: float = 0.95) -> Barriers:
    """Return the barriers of a path by every definition, with simultaneous intervals.

    Differences are paired: every sample is compared with itself at the ends. Intervals are about
    the samples drawn; another run of the training may give another barrier.

    Args:
        evaluated: At 0, ½ and 1, and at points between.
        generator: Draws for the bands.
        level: Probability that an interval covers.

    Raises:
        SettingError: 0, ½ or 1 is not among the points.

    Source: Entezari et al. 2022, arXiv 2110.06296, definition 2; Frankle et al. 2020, arXiv
    1912.05671, §2.
    """
    seed = int(torch.randint(2**62, (), generator=generator))
    loss = barrier(evaluated.t, evaluated.losses, evaluated.weights, seed=seed, level=level)
    if evaluated.errors is None:
        return Barriers(loss=loss, error=None)
    unit = 0.0 if _same_function(evaluated.losses) else 1.0
    error = barrier(
        evaluated.t,
        evaluated.errors,
        evaluated.weights,
        seed=seed,
        level=level,
        unit=unit,
        counted=True,
    )
    return Barriers(loss=loss, error=error)


def barrier(
    t: np.ndarray,
    values: np.ndarray,
    weights: np.ndarray,
    *,
    seed: int,
    level: float = 0.95,
    unit: float = 0.0,
    counted: bool = False,
) -> Barrier:
    """Return the barriers of one quantity.

    Args:
        t: Points (T,), ascending, 0, ½ and 1 among them.
        values: f of every sample (T, N).
        weights: Of the samples (N,).
        seed: Of the bands.
        level: Probability that an interval covers.
        unit: What one thing counted weighs, where differences of f are counts; 0 otherwise.
        counted: Whether f is a share of things counted, which is never above 1.
    """
    if t[0] != 0 or t[-1] != 1 or 0.5 not in t:
        raise SettingError(
            "a barrier needs the points 0, ½ and 1",
            where="barrier",
            why=f"the points run from {t[0]:g} to {t[-1]:g}",
            hint="take the grid of landscape.paths.grid",
        )
    start, end, middle = values[0], values[-1], int(np.flatnonzero(t == 0.5)[0])
    with np.errstate(invalid="ignore"):
        baseline = start + np.outer(t, end - start)  # exactly the ends' value where they agree
        above = values - baseline
        above[[0, -1]] = 0.0  # by definition, also where rounding or an infinity disagrees
        raised = values - (start + end) / 2

    def band(contrasts: np.ndarray, fixed: Sequence[int] = ()) -> Band:
        drawn = torch.Generator().manual_seed(seed)
        return simultaneous_band(
            contrasts, weights, generator=drawn, fixed=fixed, unit=unit, level=level
        )

    found: dict[Definition, Band] = {
        "supremum": band(above, (0, -1)),
        "mean": band(raised),
        "maximum": band(values),
    }
    ceiling = 1.0 if counted else math.inf
    unseen = {name: hidden(t, one.mean) for name, one in found.items()}
    middling = band(raised[middle : middle + 1])
    excess = found["supremum"]
    line = weighted_mean(baseline, weights)
    return Barrier(
        **{
            name: one.highest(hidden=unseen[name], ceiling=ceiling, method=SOURCES[name])
            for name, one in found.items()
        },
        midpoint=middling.highest(ceiling=ceiling, method=SOURCES["midpoint"]),
        argmax=float(t[int(np.argmax(excess.mean))]),
        hidden=unseen["supremum"],
        value=weighted_mean(values, weights),
        lower=line + excess.lower,
        upper=line + excess.upper,
    )


def _same_function(losses: np.ndarray) -> bool:
    """Return whether every sample loses the same everywhere: the networks are one, to rounding."""
    with np.errstate(invalid="ignore"):
        apart = np.abs(losses - losses[:1]).max()
    return bool(apart <= ROUNDING * np.abs(losses).max(initial=0.0))
