"""The figures of gradients: norms, signals along the layers, single samples, Jacobian, series."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from landscape.estimate import Estimate
from landscape.figures.lengths import LengthsInk, draw_lengths
from landscape.figures.norms import NormsInk, draw_norms
from landscape.figures.picture import Picture
from landscape.figures.profile import ProfileInk, Trace, draw_profile

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from landscape.signals.clipping import PerSample
    from landscape.signals.jacobian import Jacobian
    from landscape.signals.result import GradientsResult


def draw_main(
    axes: Axes, result: GradientsResult, *, label: str | None, colour: str | None
) -> None:
    """Draw the norms of every tensor on a log axis."""
    series = {
        "gradient": [one.gradient_norm.value for one in result.layers],
        "weight": [one.weight_norm.value for one in result.layers],
    }
    if all(one.update_norm is not None for one in result.layers):
        series["last step"] = [one.update_norm.value for one in result.layers if one.update_norm]
    ink = NormsInk(names=tuple(one.name for one in result.layers), series=series)
    draw_norms(axes, ink, label=label, colour=colour)


def pictures_of(result: GradientsResult) -> tuple[Picture, ...]:
    """Return the figures that an answer has."""
    made = []
    if len(result.signals) > 1:
        made.append(_signals(result))
    if result.per_sample is not None:
        made.append(_samples(result, result.per_sample))
    if result.jacobian is not None and len(result.jacobian.layers) > 1:
        made.append(_jacobian(result, result.jacobian))
    if len(result.series) > 1:
        made.append(_series(result.series))
    return tuple(made)


def _signals(result: GradientsResult) -> Picture:
    layers = result.signals
    ink = ProfileInk(
        names=tuple(one.name or one.kind for one in layers),
        traces=(
            trace("forward E‖h‖²/n", [one.forward for one in layers]),
            trace("backward E‖δ‖²/n", [one.backward for one in layers]),
        ),
        quantity="mean square",
        along="layer",
    )
    return Picture(
        name="signals",
        title="Signals along the layers",
        draw=partial(draw_profile, ink=ink),
        text=f"Mean square of the outputs h of every layer of {result.checkpoint}, and of δ, the "
        f"gradient of the loss in them, over {layers[0].forward.samples:,} samples; bands: 95 % "
        "for other samples.",
    )


def _samples(result: GradientsResult, found: PerSample) -> Picture:
    ink = LengthsInk(
        lengths=found.lengths,
        samples=found.samples,
        mean=found.mean_gradient,
        thresholds=tuple(
            (one.threshold, f"{one.origin} {one.threshold:.3g}: {one.fraction.value:.0%} clipped")
            for one in found.clipped
        ),
    )
    return Picture(
        name="samples",
        title="Norms of the per-sample gradients",
        draw=partial(draw_lengths, ink=ink),
        text=f"{found.samples:,} samples at {result.checkpoint}; band: 95 % at all lengths at once "
        "(Kolmogorov); dashed: thresholds at which every sample's gradient could be clipped.",
    )


def _jacobian(result: GradientsResult, found: Jacobian) -> Picture:
    layers = found.layers
    ink = ProfileInk(
        names=tuple(one.name for one in layers),
        traces=(
            trace("largest", [one.largest for one in layers]),
            trace("root mean square", [_root(one.mean_square) for one in layers]),
            trace("median", [one.median for one in layers]),
        ),
        quantity="singular value of ∂h/∂x",
        along=f"layer, from the {found.origin or 'input'}",
        level=1.0,
    )
    return Picture(
        name="jacobian",
        title="Singular values of the Jacobian along the layers",
        draw=partial(draw_profile, ink=ink),
        text=f"{result.checkpoint}, {found.samples} samples, {found.inputs:,} inputs; dashed: 1, "
        "where nothing is stretched or shrunk; bands: 95 % for other samples.",
    )


def _series(series: Sequence[GradientsResult]) -> Picture:
    smooth = [one.smoothness.effective if one.smoothness else None for one in series]
    ink = ProfileInk(
        names=tuple(one.checkpoint for one in series),
        traces=(
            trace("gradient norm", [one.total_norm for one in series]),
            trace("noise scale", [one.noise_scale for one in series]),
            trace("smoothness along −g", smooth),
        ),
        quantity="value",
        along="checkpoint",
    )
    return Picture(
        name="series",
        title="Gradient, noise and smoothness over the checkpoints",
        draw=partial(draw_profile, ink=ink),
        text=f"{len(series)} checkpoints; bands: intervals for other samples (noise scale tr Σ / "
        "‖g‖²); arrows: bounds. Smoothness is one: the largest over a few steps.",
    )


def trace(name: str, numbers: Sequence[Estimate | None]) -> Trace:
    """Return a line through estimates, NaN where there is none; bounds have no band."""
    rows = [
        (math.nan,) * 3
        if one is None
        else (one.value, *(one.interval if one.kind == "estimate" else (one.value, one.value)))
        for one in numbers
    ]
    value, lower, upper = np.array(rows, dtype=np.float64).reshape(-1, 3).T
    sides = {"lower_bound": 1, "upper_bound": -1}
    bound = np.array([0 if one is None else sides.get(one.kind, 0) for one in numbers])
    return Trace(name=name, value=value, lower=lower, upper=upper, bound=bound)


def _root(square: Estimate) -> Estimate:
    low, high = (math.sqrt(max(end, 0.0)) for end in square.interval)
    return Estimate(
        value=math.sqrt(max(square.value, 0.0)),
        kind="estimate",
        interval=(low, high),
        level=square.level,
        samples=square.samples,
        method=square.method,
    )
