"""The figures of several networks: where they lie, and how alike they are."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from landscape.figures.picture import Picture
from landscape.figures.solutions import AlikeInk, SolutionsInk, draw_alike, draw_solutions

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from landscape.solutions.result import SolutionsResult


def draw_main(
    axes: Axes, result: SolutionsResult, *, label: str | None, colour: str | None
) -> None:
    """Draw every network at its sharpness and its loss."""
    measured = all(one.sharpness is not None for one in result.solutions)
    across = [one.sharpness or one.norm for one in result.solutions]
    up = [one.held_out_loss or one.loss for one in result.solutions]
    ink = SolutionsInk(
        names=tuple(one.name for one in result.solutions),
        across=tuple(one.value for one in across),
        across_ends=tuple(one.interval for one in across),
        up=tuple(one.value for one in up),
        up_ends=tuple(one.interval for one in up),
        quantity="sharpness λ₁" if measured else "norm of the weights ‖θ‖",
        judged="held-out loss" if result.solutions[0].held_out_loss else "loss",
    )
    draw_solutions(axes, ink, label=label, colour=colour)


def pictures_of(result: SolutionsResult) -> tuple[Picture, ...]:
    """Return the matrix of the pairs, where there is something in it."""
    ink = _alike(result)
    if not np.isfinite(ink.above).any() and not np.isfinite(ink.below).any():
        return ()
    return (
        Picture(
            name="pairs",
            title="How alike the networks are",
            draw=partial(draw_alike, ink=ink),
            text=f"Above the diagonal: {ink.above_told}. Below: {ink.below_told}. Judged on "
            f"{result.samples:,} samples ({result.judged_on}).",
        ),
    )


def _alike(result: SolutionsResult) -> AlikeInk:
    names = tuple(one.name for one in result.solutions)
    place = {name: number for number, name in enumerate(names)}
    above, below = (np.full((len(names), len(names)), np.nan) for _ in range(2))
    with_error = any(one.barrier_error is not None for one in result.pairs)
    with_labels = any(one.disagreement is not None for one in result.pairs)
    for pair in result.pairs:
        i, j = place[pair.a], place[pair.b]
        barrier = pair.barrier_error if with_error else pair.barrier_loss
        other = pair.disagreement if with_labels else pair.similarity
        above[i, j] = barrier.value if barrier is not None else np.nan
        below[j, i] = other.value if other is not None else np.nan
    return AlikeInk(
        names=names,
        above=above,
        below=below,
        above_told=f"barrier in {'error' if with_error else 'loss'} on the straight line",
        below_told="share of labels predicted differently" if with_labels else "CKA of the outputs",
        shares=(with_error, with_labels),
    )
