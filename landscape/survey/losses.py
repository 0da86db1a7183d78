"""The loss and the length of its gradient, each by a second way that shares no code with the first.

The gradients and the spectrum take both from the subject; held against them are the sample by
sample evaluations of surfaces and paths, gradients of single samples, and the fall along a step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from landscape.answer import Result
from landscape.connectivity.result import ConnectResult, Pair
from landscape.signals.result import GradientsResult
from landscape.spectra.result import SpectrumResult
from landscape.surfaces.result import SurfaceResult
from landscape.survey.held import ROUNDING, Held

FLOOR = 1e-7  # of a loss: below it everything is rounding
SAMPLED = 2.5  # half-widths at 95 %: about five standard errors
CLOSE = 0.3  # relative, from which on a doubt tells nothing
NOISE = 1e-5  # relative, of the difference of two losses by the same sum
BENT = 2.0  # times the change of the gradient over a step, by which it may vary on the way
DIFFERENT = "The network may not repeat itself on the same data: run `landscape doctor`."


def loss_on_surface(result: Result, surface: SurfaceResult, where: str) -> Iterator[Held]:
    """The loss, and the middle of a surface about the checkpoint, evaluated sample by sample."""
    loss = _loss(result)
    for sheet in surface.sheets:
        found, doubt = sheet.centre, _rounding(loss)
        if sheet.checkpoint != where or not math.isfinite(found.value + loss):
            continue
        if surface.samples != result.cost.samples:
            doubt += SAMPLED * found.half_width
        yield Held(
            claim="loss: over the data, and sample by sample on the surface",
            sections=(result.name, "surface"),
            checkpoint=where,
            agrees=abs(found.value - loss) <= doubt if math.isfinite(doubt) else None,
            evidence=f"{loss:.6g} and {found:.6g}",
            advice=DIFFERENT,
        )


def loss_on_path(result: Result, connect: ConnectResult, where: str) -> Iterator[Held]:
    """The loss, and the end of a path at the checkpoint, evaluated sample by sample."""
    loss = _loss(result)
    if connect.judged_on != "the given data" or connect.samples != result.cost.samples:
        return
    for pair in connect.pairs:
        value = _end(pair, where)
        if value is not None and math.isfinite(value + loss):
            yield Held(
                claim="loss: over the data, and sample by sample at the end of a path",
                sections=(result.name, "connect"),
                checkpoint=where,
                agrees=abs(value - loss) <= _rounding(loss),
                evidence=f"{loss:.6g} and {value:.6g}",
                advice=DIFFERENT,
            )


def _loss(result: Result) -> float:
    """Return the mean loss over the given data; NaN where weight decay is part of it."""
    if isinstance(result, GradientsResult):
        return result.loss.value
    if isinstance(result, SpectrumResult) and not result.weight_decay:
        return result.loss.value
    return math.nan


def _end(pair: Pair, where: str) -> float | None:
    """Return the loss of a checkpoint on a line, with the statistics that it was saved with."""
    line = pair.paths.get("line")
    if line is None or where not in (pair.a, pair.b):
        return None
    along: np.ndarray = line.loss if line.stale is None else line.stale
    return float(along[0 if where == pair.a else -1])


def gradient_of_samples(gradients: GradientsResult, where: str) -> Iterator[Held]:
    """‖g‖ of the whole data, and of the mean over the gradients of all single samples."""
    found, length = gradients.per_sample, gradients.total_norm.value
    if found is None or found.samples != gradients.cost.samples or not math.isfinite(length):
        return
    scale = ROUNDING * max(length, found.mean_gradient)
    doubt = scale + ROUNDING**2 * gradients.weight_norm.value + ROUNDING**2 * found.mean.value
    yield Held(
        claim="gradient norm: of the data as a whole, and of the mean over single samples",
        sections=("gradients",),
        checkpoint=where,
        agrees=abs(found.mean_gradient - length) <= doubt,
        evidence=f"{length:.6g} and {found.mean_gradient:.6g}",
        advice=DIFFERENT,
    )


def gradient_and_fall(gradients: GradientsResult, where: str) -> Iterator[Held]:
    """‖g‖ of a backward pass, and the fall of the loss over a step d along −g.

    The fall over d is ‖g‖ but for the change of the gradient on the way, which its change at the
    end tells: the shortest step that is not all rounding is taken.
    """
    length, loss = gradients.total_norm.value, gradients.loss.value
    if gradients.smoothness is None or not 0 < length < math.inf:
        return
    steps = [
        (BENT * one.change.value * length + NOISE * abs(loss) / one.distance, one)
        for one in gradients.smoothness.steps
        if one.distance > 0 and math.isfinite(loss + one.loss.value + one.change.value)
    ]
    doubt, best = min(steps, key=lambda pair: pair[0], default=(math.inf, None))
    if best is None or doubt > CLOSE * length:
        return
    slope = (loss - best.loss.value) / best.distance
    yield Held(
        claim="gradient norm: of a backward pass, and by the fall of the loss over a step",
        sections=("gradients",),
        checkpoint=where,
        agrees=abs(slope - length) <= doubt,
        evidence=f"{length:.4g}, and {slope:.4g} ± {doubt:.1g} over a step of {best.distance:.1g}",
    )


def _rounding(loss: float) -> float:
    """Return by how much two sums over the same samples may differ."""
    return ROUNDING * abs(loss) + FLOOR
