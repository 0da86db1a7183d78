"""The figures of a coordinate check: exponents by module, and the curves they come from."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from landscape.estimate import Estimate
from landscape.figures.coordinates import (
    CurvesInk,
    ExponentsInk,
    draw_curves,
    draw_exponents,
)
from landscape.figures.picture import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from landscape.coordinates.result import CoordcheckResult


def draw_main(
    axes: Axes, result: CoordcheckResult, *, label: str | None, colour: str | None
) -> None:
    """Draw the exponents, module by module."""
    modules = result.modules
    steepest = [one.steepest_change for one in modules]
    ink = ExponentsInk(
        names=tuple(one.shown for one in modules),
        sizes=np.array([_value(one.sizes[0]) for one in modules]),
        changes=np.array([[_value(slope) for slope in one.changes] for one in modules]),
        intervals=np.array([pair[1].interval if pair else (math.nan,) * 2 for pair in steepest]),
        failing=np.array([one.outcome == "fail" for one in modules]),
        tolerance=result.tolerance,
    )
    draw_exponents(axes, ink, label=label, colour=colour)


def pictures_of(result: CoordcheckResult) -> tuple[Picture, ...]:
    """Return the curves of size and change against the width."""
    last = len(result.loss) - 1
    ink = CurvesInk(
        widths=np.array(result.widths, dtype=np.float64),
        names=tuple(one.shown for one in result.modules),
        size=np.stack([one.size[-1] for one in result.modules]),
        change=np.stack([one.change[-1] for one in result.modules]),
        failing=np.array([one.outcome == "fail" for one in result.modules]),
        step=last,
    )
    return (
        Picture(
            name="curves",
            title="Activations against the width",
            draw=partial(draw_curves, ink=ink),
            text="Mean absolute coordinate of every module's output, and of its change, after "
            f"{last} steps on one batch of {result.cost.samples:,} samples; geometric mean over "
            f"{result.settings['seeds']} seeds. Dark to light: from the first module to the last.",
        ),
    )


def _value(slope: Estimate | None) -> float:
    return math.nan if slope is None else slope.value
