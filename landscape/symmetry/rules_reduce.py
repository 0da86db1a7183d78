"""Rules of operations that make one number out of many."""

from __future__ import annotations

from collections.abc import Sequence

from landscape.symmetry.axes import Axes
from landscape.symmetry.rules import Call, NotExpressedError, Walk, positive, rule
from landscape.symmetry.rules_pointwise import broadcast, elementwise

_REDUCTIONS = """
    mean sum amax amin prod nansum var std logsumexp linalg_vector_norm linalg_norm norm all any
    count_nonzero
"""


@rule(*_REDUCTIONS.split())
def reduction(walk: Walk, call: Call) -> Axes:
    """Drop axes, or leave them with length one."""
    axes = walk.axes(call["self"])
    return _reduced(axes, positive(call["dim"], len(axes)), len(call.shape))


@rule("var_mean", "std_mean", "aminmax")
def reductions(walk: Walk, call: Call) -> list[Axes]:
    """Drop axes, or leave them with length one, of several results."""
    axes = walk.axes(call["self"])
    dims = positive(call["dim"], len(axes))
    return [_reduced(axes, dims, len(shape)) for shape in call.shape]


@rule("max", "min", "median", "nanmedian", "mode")
def chosen(walk: Walk, call: Call) -> Axes | list[Axes]:
    """Drop axes; an index of what is chosen freezes the axis that it counts along."""
    if call["other"] is not None:
        return elementwise(walk, call)
    if not isinstance(call.shape, list):
        return reduction(walk, call)
    found = reductions(walk, call)
    if 1 in call.used:
        axes = walk.axes(call["self"])
        walk.freeze(call, [axes[i] for i in positive(call["dim"], len(axes))])
    return found


@rule("argmax", "argmin")
def argument(walk: Walk, call: Call) -> Axes:
    """Freeze the axis that is searched."""
    axes = walk.axes(call["self"])
    dims = positive(call["dim"], len(axes))
    walk.freeze(call, [axes[i] for i in dims])
    return reduction(walk, call)


@rule("cosine_similarity")
def cosine(walk: Walk, call: Call) -> Axes:
    """Tie both, axis by axis, and drop one axis."""
    axes = broadcast(walk, call, [walk.axes(call["x1"]), walk.axes(call["x2"])])
    if not axes:
        raise NotExpressedError
    walk.joint(*axes)
    return _reduced(axes, positive(call["dim"], len(axes)), len(call.shape))


def _reduced(axes: Axes, dims: Sequence[int], rank: int) -> Axes:
    if rank == len(axes):
        return tuple(() if i in dims else label for i, label in enumerate(axes))
    return tuple(label for i, label in enumerate(axes) if i not in dims)
