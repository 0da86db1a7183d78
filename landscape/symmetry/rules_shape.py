"""Rules of operations that move, reshape and repeat axes."""

from __future__ import annotations

from torch.fx import Node

from landscape.symmetry.axes import Axes, fresh, size_of
from landscape.symmetry.reshaping import reshaped
from landscape.symmetry.rules import Call, NotExpressedError, Walk, positive, rule
from landscape.symmetry.rules_pointwise import broadcast


@rule("view", "reshape", "_unsafe_view", "flatten", "unflatten", "unsqueeze", "squeeze", "view_as")
@rule("unsqueeze_", "squeeze_", "_reshape_alias", "reshape_as", "ravel")
def reshape(walk: Walk, call: Call) -> Axes:
    """Write axes as products."""
    if call.arguments.get("dtype") is not None:
        raise NotExpressedError
    return reshaped(walk.axes(call["self"]), call.shape)


@rule("permute")
def permute(walk: Walk, call: Call) -> Axes:
    """Reorder the axes."""
    axes = walk.axes(call["self"])
    return tuple(axes[dim] for dim in call["dims"])


@rule("transpose", "transpose_", "t", "swapaxes", "numpy_T", "mT", "adjoint")
def transpose(walk: Walk, call: Call) -> Axes:
    """Swap two axes."""
    axes = list(walk.axes(call["self"]))
    if call.name == "numpy_T" and len(axes) > 2:
        raise NotExpressedError
    if call["dim0"] is not None:
        i, j = call["dim0"], call["dim1"]
    else:
        i, j = call.arguments.get("axis0", -2), call.arguments.get("axis1", -1)
    if len(axes) > 1:
        axes[i], axes[j] = axes[j], axes[i]
    return tuple(axes)


@rule("movedim")
def movedim(walk: Walk, call: Call) -> Axes:
    """Move axes."""
    axes = walk.axes(call["self"])
    sources = positive(call["source"], len(axes))
    goals = positive(call["destination"], len(axes))
    order = [i for i in range(len(axes)) if i not in sources]
    for goal, source in sorted(zip(goals, sources, strict=True)):
        order.insert(goal, source)
    return tuple(axes[i] for i in order)


@rule("expand", "expand_as", "broadcast_to")
def expand(walk: Walk, call: Call) -> Axes:
    """Repeat: along a new axis every number is the same."""
    axes = walk.axes(call["self"])
    padded = [()] * (len(call.shape) - len(axes)) + list(axes)
    pairs = zip(padded, call.shape, strict=True)
    return tuple(label if size_of(label) == size else fresh(size) for label, size in pairs)


@rule("repeat", "tile")
def repeat(walk: Walk, call: Call) -> Axes:
    """Repeat an axis as a whole: the number of times is an outer factor."""
    axes = walk.axes(call["self"])
    padded = [()] * (len(call.shape) - len(axes)) + list(axes)
    pairs = zip(padded, call.shape, strict=True)
    return tuple((*fresh(size // size_of(label)), *label) for label, size in pairs)


@rule("repeat_interleave")
def repeat_interleave(walk: Walk, call: Call) -> Axes:
    """Repeat every entry of an axis: the number of times is an inner factor."""
    axes = walk.axes(call["self"])
    if call["dim"] is None or not isinstance(call["repeats"], int):
        raise NotExpressedError
    dim = call["dim"] % len(axes)
    return (*axes[:dim], (*axes[dim], *fresh(call["repeats"])), *axes[dim + 1 :])


@rule("roll")
def roll(walk: Walk, call: Call) -> Axes:
    """Freeze the axes that are shifted."""
    axes = walk.axes(call["self"])
    if not call["dims"]:
        raise NotExpressedError
    walk.freeze(call, [axes[dim] for dim in positive(call["dims"], len(axes))])
    return axes


@rule("pad", "constant_pad_nd", "reflection_pad1d", "reflection_pad2d", "replication_pad2d")
def pad(walk: Walk, call: Call) -> Axes:
    """Freeze the axes that grow."""
    axes = walk.axes(call["self"])
    amounts = call["pad"] if call["pad"] is not None else call["padding"]
    touched = {
        len(axes) - 1 - i for i in range(len(amounts) // 2) if any(amounts[2 * i : 2 * i + 2])
    }
    walk.freeze(call, [axes[i] for i in touched])
    sizes = enumerate(call.shape)
    return tuple(fresh(size, call.where) if i in touched else axes[i] for i, size in sizes)


@rule("index")
def index(walk: Walk, call: Call) -> Axes:
    """Freeze the axes that are looked up in; the result has the axes of the indices."""
    axes = walk.axes(call["self"])
    given = call["indices"]
    at = [i for i, each in enumerate(given) if isinstance(each, Node)]
    dtypes = [given[i].meta["val"].dtype for i in at]
    if any(not dtype.is_signed for dtype in dtypes):  # a mask: the shape depends on values
        raise NotExpressedError
    walk.freeze(call, [axes[i] for i in at])
    found = broadcast(walk, call, [walk.axes(given[i]) for i in at])
    kept = [label for i, label in enumerate(axes) if i not in at]
    place = at[0] if at == list(range(at[0], at[-1] + 1)) else 0
    return (*kept[:place], *found, *kept[place:])


@rule("index_select")
def index_select(walk: Walk, call: Call) -> Axes:
    """Freeze the axis that is looked up in."""
    axes = walk.axes(call["self"])
    dim = call["dim"] % len(axes)
    walk.freeze(call, [axes[dim]])
    return (*axes[:dim], *walk.axes(call["index"]), *axes[dim + 1 :])


@rule("pixel_shuffle")
def pixel_shuffle(walk: Walk, call: Call) -> Axes:
    """Spread the inner factor of the channels over the plane."""
    axes = walk.axes(call["self"])
    channels = call.shape[-3]
    outer, inner = reshaped([axes[-3]], [channels, size_of(axes[-3]) // channels])
    walk.freeze(call, [inner, *axes[-2:]])
    return (*axes[:-3], outer, *(fresh(size, call.where) for size in call.shape[-2:]))


@rule("pixel_unshuffle")
def pixel_unshuffle(walk: Walk, call: Call) -> Axes:
    """Gather places into an inner factor of the channels."""
    axes = walk.axes(call["self"])
    walk.freeze(call, axes[-2:])
    places = fresh(call["downscale_factor"] ** 2, call.where)
    plane = (fresh(size, call.where) for size in call.shape[-2:])
    return (*axes[:-3], (*axes[-3], *places), *plane)


@rule("channel_shuffle", "native_channel_shuffle")
def channel_shuffle(walk: Walk, call: Call) -> Axes:
    """Swap the factors of the channels."""
    axes = walk.axes(call["self"])
    groups = call["groups"]
    outer, inner = reshaped([axes[1]], [groups, size_of(axes[1]) // groups])
    return (axes[0], (*inner, *outer), *axes[2:])
