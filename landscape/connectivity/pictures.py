"""The figures of a verdict: paths of a pair, the plane they span, the matrix and graph of many."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from landscape.figures.connection import Along, ConnectionInk, draw_connection
from landscape.figures.pairs import PairsInk, draw_graph, draw_matrix
from landscape.figures.picture import Picture
from landscape.figures.weight_plane import PlaneInk, draw_plane

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from landscape.connectivity.result import ConnectResult, Pair, PathAnswer


def draw_main(axes: Axes, result: ConnectResult, *, label: str | None, colour: str | None) -> None:
    """Draw the loss along the paths of a pair, or the matrix of many."""
    if result.drawn is not None:
        draw_connection(axes, loss_ink(result.drawn), label=label, colour=colour)
    else:
        draw_matrix(axes, pairs_ink(result), label=label)


def pictures_of(result: ConnectResult) -> tuple[Picture, ...]:
    """Return the figures that an answer has."""
    made = []
    pair = result.drawn
    if pair is not None and (ink := error_ink(pair)) is not None:
        made.append(
            Picture(
                name="error",
                title="Error along the paths",
                draw=partial(draw_connection, ink=ink),
                text=f"Share of {result.samples:,} samples that are classified wrongly "
                f"({result.judged_on}), with simultaneous bands.",
            )
        )
    if pair is not None and pair.plane is not None:
        made.append(
            Picture(
                name="plane",
                title="The plane through both networks and the bend of the curve",
                draw=partial(draw_plane, ink=plane_ink(pair)),
                text=f"Loss on a plane through {pair.a}, the bend and {pair.b}: "
                f"{pair.plane.loss.size} points, BatchNorm statistics recomputed at each. "
                "Levels are even in the logarithm above the least loss.",
            )
        )
    if pair is None:
        made.append(
            Picture(
                name="graph",
                title="Which networks are connected",
                draw=partial(draw_graph, ink=pairs_ink(result)),
                text=f"{len(result.checkpoints)} networks and the pairs that a path connects at "
                "the tolerance; undecided pairs dashed.",
            )
        )
    return tuple(made)


def loss_ink(pair: Pair) -> ConnectionInk:
    """Return the loss along every path."""
    paths = tuple(
        _along(name, path, path.loss, path.loss_band.lower, path.loss_band.upper)
        for name, path in pair.paths.items()
    )
    return ConnectionInk(
        quantity="loss", paths=paths, ends=(pair.a, pair.b), tolerance=pair.tolerance.loss
    )


def error_ink(pair: Pair) -> ConnectionInk | None:
    """Return the error along every path; None in regression."""
    paths = tuple(
        _along(name, path, path.error, path.error_band.lower, path.error_band.upper)
        for name, path in pair.paths.items()
        if path.error is not None and path.error_band is not None
    )
    if not paths or pair.tolerance.error is None:
        return None
    return ConnectionInk(
        quantity="error", paths=paths, ends=(pair.a, pair.b), tolerance=pair.tolerance.error
    )


def plane_ink(pair: Pair) -> PlaneInk:
    """Return the plane of a pair that has one."""
    if pair.plane is None:
        raise ValueError("this pair has no plane")
    return PlaneInk(**vars(pair.plane), names=(pair.a, "bend", pair.b))


def pairs_ink(result: ConnectResult) -> PairsInk:
    """Return barriers and verdicts of all pairs, components beside one another."""
    ordered = [name for part in result.components for name in part]
    place = {name: number for number, name in enumerate(ordered)}
    count = len(ordered)
    with_error = all(pair.tolerance.error is not None for pair in result.pairs)
    barriers = np.full((count, count), np.nan)
    verdicts = [["" for _ in ordered] for _ in ordered]
    for pair in result.pairs:
        high, low = sorted((place[pair.a], place[pair.b]))
        verdicts[low][high] = verdicts[high][low] = pair.verdict
        barriers[high, low] = _height(pair.paths.get("line"), error=with_error)
        barriers[low, high] = _height(pair.best, error=with_error)
    tolerance = result.pairs[0].tolerance
    return PairsInk(
        names=tuple(ordered),
        barriers=barriers,
        verdicts=tuple(map(tuple, verdicts)),
        components=tuple(number for number, part in enumerate(result.components) for _ in part),
        tolerance=tolerance.error if with_error and tolerance.error is not None else tolerance.loss,
        quantity="error" if with_error else "loss",
    )


def _along(
    name: str, path: PathAnswer, value: np.ndarray, lower: np.ndarray, upper: np.ndarray
) -> Along:
    return Along(name=name, t=path.t, value=value, lower=lower, upper=upper, told=path.verdict)


def _height(path: PathAnswer | None, *, error: bool) -> float:
    if path is None:
        return float("nan")
    found = path.barrier.error if error else path.barrier.loss
    return found.value if found is not None else float("nan")
