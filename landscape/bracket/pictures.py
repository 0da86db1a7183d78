"""The figures of a bracket: the bar, the layers, and both sides over checkpoints."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from landscape.bracket.tables import where
from landscape.figures.bracket import (
    BracketInk,
    BracketSeriesInk,
    draw_bracket,
    draw_bracket_series,
)
from landscape.figures.norms import NormsInk, draw_norms
from landscape.figures.picture import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from landscape.bracket.result import LipschitzResult


def draw_main(
    axes: Axes, result: LipschitzResult, *, label: str | None, colour: str | None
) -> None:
    """Draw the bracket."""
    draw_bracket(axes, bracket_ink(result), label=label, colour=colour)


def pictures_of(result: LipschitzResult) -> tuple[Picture, ...]:
    """Return the figures that an answer has."""
    made = []
    if len(result.series) > 1:
        made.append(
            Picture(
                name="series",
                title="The Lipschitz bracket over the checkpoints",
                draw=partial(draw_bracket_series, ink=series_ink(result)),
                text=f"Attained and proved ℓ₂ Lipschitz constants at {len(result.series)} "
                f"checkpoints. {result.cost.seconds:.1f} s.",
            )
        )
    if len(result.layers) > 1:
        made.append(
            Picture(
                name="layers",
                title="Lipschitz constants of the layers",
                draw=partial(draw_norms, ink=layers_ink(result)),
                text=f"ℓ₂ constants of the layers of {result.checkpoint}, each by itself on the "
                "input size that it sees: proved from above, attained from below.",
            )
        )
    return tuple(made)


def bracket_ink(result: LipschitzResult) -> BracketInk:
    """Return both sides; the product of norms where the network is a single chain."""
    whole = [one for one in result.chains if one.base == ("input",)]
    product = whole[-1].product.value if len(whole) == 1 == len(result.chains) else math.nan
    return BracketInk(
        name=result.checkpoint,
        lower=result.network.lower.value,
        upper=result.network.upper.value,
        at_data=result.at_data.value if result.at_data is not None else math.nan,
        product=product,
        domain=where(result),
    )


def layers_ink(result: LipschitzResult) -> NormsInk:
    """Return both sides of every layer."""
    return NormsInk(
        names=tuple(one.name for one in result.layers),
        series={
            "proved from above": [one.upper.value for one in result.layers],
            "attained from below": [one.lower.value for one in result.layers],
        },
    )


def series_ink(result: LipschitzResult) -> BracketSeriesInk:
    """Return both sides over the checkpoints."""
    series = result.series
    known = [one.step for one in series if one.step is not None]
    by_step = len(known) == len(series) and all(np.diff(known) > 0)
    return BracketSeriesInk(
        places=np.array(known if by_step else range(len(series)), dtype=float),
        names=tuple(one.checkpoint for one in series),
        by_step=by_step,
        lower=np.array([one.network.lower.value for one in series]),
        upper=np.array([one.network.upper.value for one in series]),
        domain=where(result),
    )
