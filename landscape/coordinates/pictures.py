"""The figures of a coordinate check: exponents by module, and the curves they come from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from landscape.coordinates.slopes import steepest_of
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

    from landscape.coordinates.result import CoordcheckResult, ModuleScaling

Row = tuple[str, "Estimate | None", "tuple[Estimate | None, ...]", bool]


def draw_main(
    axes: Axes, result: CoordcheckResult, *, label: str | None, colour: str | None
) -> None:
    """Draw the exponents, module by module."""
    rows = [row for module in result.modules for row in _rows(module)]
    steepest = [_steepest_interval(slopes) for _, _, slopes, _ in rows]
    ink = ExponentsInk(
        names=tuple(name for name, *_ in rows),
        sizes=np.array([_value(size) for _, size, *_ in rows]),
        changes=np.array([[_value(one) for one in slopes] for _, _, slopes, _ in rows]),
        intervals=np.array(steepest),
        failing=np.array([failing for *_, failing in rows]),
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


def _rows(module: ModuleScaling) -> Iterator[Row]:
    """Yield a module's activation, and what its own weight does to it."""
    failing = module.outcome == "fail"
    yield module.shown, module.sizes[0], module.changes, failing
    if module.own:
        yield f"{module.name or 'the network'}, ΔW z", None, module.own, failing


def _steepest_interval(slopes: Sequence[Estimate | None]) -> tuple[float, float]:
    found = steepest_of(slopes)
    return found[1].interval if found else (math.nan, math.nan)


def _value(slope: Estimate | None) -> float:
    return math.nan if slope is None else slope.value
