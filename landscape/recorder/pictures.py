"""The figures of a run."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from landscape.figures.history import (
    HistoryInk,
    LayersOverTimeInk,
    SignalsInk,
    draw_layers_over_time,
    draw_signals,
)
from landscape.figures.picture import Picture
from landscape.recorder.answers import series_of

if TYPE_CHECKING:
    from landscape.recorder.answer import TrackResult


def history_ink(result: TrackResult) -> HistoryInk:
    """Return loss, gradient norms and learning rate over steps."""
    one = result.series_of
    odd = [v.step for v in result.verdicts if v.kind == "not finite" and v.step is not None]
    return HistoryInk(
        step=one.step,
        loss=one.loss,
        gradient=one.gradient_norm,
        before=one.gradient_norm_before,
        rate=one.learning_rate,
        marks={
            "not finite": tuple(float(step) for step in odd),
            "spike": tuple(float(step) for step in one.spikes),
            "skipped": tuple(float(step) for step in one.skipped),
        },
        begins=tuple(float(run.first_step) for run in result.runs[1:]),
        answers=series_of(result.answers),
    )


def pictures_of(result: TrackResult) -> tuple[Picture, ...]:
    """Return the layers over the run, and signals over depth where they were seen."""
    made = []
    if result.steps:
        made.append(
            Picture(
                name="layers",
                title="Gradient norms of the layers",
                draw=partial(draw_layers_over_time, ink=_layers_ink(result)),
                text="Norms at the end of the backward pass, first layer at the top; medians of "
                "neighbouring steps, grey where the gradient is zero or not there. "
                f"{result.steps:,} steps.",
            )
        )
    if result.signals:
        made.append(
            Picture(
                name="signals",
                title="Signals over depth",
                draw=partial(draw_signals, ink=_signals_ink(result)),
                text="Root mean square of what modules put out, and of the gradient of the loss "
                "with respect to it, at the first and the last step with details.",
            )
        )
    return tuple(made)


def _layers_ink(result: TrackResult) -> LayersOverTimeInk:
    return LayersOverTimeInk(
        step=result.layer_steps,
        names=tuple(one.name for one in result.layers),
        norms=result.layer_norms,
    )


def _signals_ink(result: TrackResult) -> SignalsInk:
    def roots(field: str) -> np.ndarray:
        return np.sqrt(np.array([getattr(one, field) for one in result.signals], dtype=float))

    kinds = {"activations": "forward", "backward": "backward"}
    return SignalsInk(
        names=tuple(one.name for one in result.signals),
        lines={
            told: {"first": roots(f"first_{field}"), "last": roots(field)}
            for told, field in kinds.items()
        },
    )
