"""Rules of operations that normalise and pool."""

from __future__ import annotations

from landscape.symmetry.axes import Axes, fresh, size_of
from landscape.symmetry.reshaping import reshaped
from landscape.symmetry.rules import Call, NotExpressedError, Walk, rule


@rule("batch_norm", "instance_norm")
def batch_norm(walk: Walk, call: Call) -> Axes:
    """Tie weight, bias and running statistics to the channels."""
    return _per_channel(walk, call, ("weight", "bias", "running_mean", "running_var"))


@rule("_native_batch_norm_legit_no_training", "native_batch_norm", "_batch_norm_impl_index")
@rule("cudnn_batch_norm", "_native_batch_norm_legit")
def native_batch_norm(walk: Walk, call: Call) -> list[Axes]:
    """Tie them as well; statistics of the batch come second."""
    if call["training"]:
        raise NotExpressedError
    axes = _per_channel(walk, call, ("weight", "bias", "running_mean", "running_var"))
    rest = [tuple(fresh(size, call.where) for size in shape) for shape in call.shape[1:]]
    return [axes, *rest]


def _per_channel(walk: Walk, call: Call, names: tuple[str, ...]) -> Axes:
    axes = walk.axes(call["input"])
    for name in names:
        if call[name] is not None:
            walk.tie(call, walk.axes(call[name])[0], axes[1])
    walk.joint(axes[1])
    return axes


@rule("layer_norm", "rms_norm")
def layer_norm(walk: Walk, call: Call) -> Axes:
    """Tie weight and bias to the normalised axes."""
    axes = walk.axes(call["input"])
    rank = len(call["normalized_shape"])
    for name in ("weight", "bias"):
        if call[name] is not None:
            for label, own in zip(walk.axes(call[name]), axes[-rank:], strict=True):
                walk.tie(call, label, own)
    walk.joint(*axes[:-rank])
    return axes


@rule("native_layer_norm")
def native_layer_norm(walk: Walk, call: Call) -> list[Axes]:
    """Tie them; mean and deviation come second and third."""
    axes = layer_norm(walk, call)
    rank = len(call["normalized_shape"])
    reduced = (*axes[:-rank], *(() for _ in range(rank)))
    return [axes, reduced, reduced]


@rule("group_norm")
def group_norm(walk: Walk, call: Call) -> Axes:
    """Write the channels as groups of channels."""
    axes = _per_channel(walk, call, ("weight", "bias"))
    groups = call["num_groups"]
    group, _ = reshaped([axes[1]], [groups, size_of(axes[1]) // groups])
    walk.joint(axes[0], group)
    return axes


@rule("native_group_norm")
def native_group_norm(walk: Walk, call: Call) -> list[Axes]:
    """Write the channels as groups of channels; mean and deviation come second and third."""
    axes = _per_channel(walk, call, ("weight", "bias"))
    groups = call["group"]
    group, _ = reshaped([axes[1]], [groups, size_of(axes[1]) // groups])
    return [axes, (axes[0], group), (axes[0], group)]


@rule("_weight_norm")
def weight_norm(walk: Walk, call: Call) -> Axes:
    """Tie the magnitudes to the axis along which they stand; the norm runs over the others."""
    axes, scale = walk.axes(call["v"]), walk.axes(call["g"])
    if not scale:  # one magnitude for the whole tensor
        return axes
    for label, own in zip(scale, axes, strict=True):
        if size_of(label) > 1:
            walk.tie(call, label, own)
    walk.joint(*scale)
    return axes


_POOLS = "max_pool avg_pool adaptive_avg_pool adaptive_max_pool lp_pool _adaptive_avg_pool"
_POOLED = [f"{name}{rank}d" for name in _POOLS.split() for rank in (1, 2, 3)]
_RESIZED = [f"upsample_{how}" for how in ("nearest1d", "nearest2d", "nearest3d", "bilinear2d")]


@rule(*_POOLED, *_RESIZED, "upsample_bicubic2d", "upsample_trilinear3d", "_upsample_bilinear2d_aa")
def pool(walk: Walk, call: Call) -> Axes:
    """Keep batch and channels; places are frozen."""
    if isinstance(call.shape, list):
        raise NotExpressedError
    axes = walk.axes(call["self"] if call["self"] is not None else call["input"])
    rank = int(next(digit for digit in call.name if digit.isdigit()))
    walk.freeze(call, axes[-rank:])
    return (*axes[:-rank], *(fresh(size, call.where) for size in call.shape[-rank:]))


@rule("max_pool2d_with_indices", "max_pool3d_with_indices", "adaptive_max_pool2d")
def pool_with_indices(walk: Walk, call: Call) -> list[Axes]:
    """Pool; the indices are of places within a channel."""
    axes = walk.axes(call["self"])
    rank = len(call.shape[0]) - 2
    walk.freeze(call, axes[-rank:])
    space = tuple(fresh(size, call.where) for size in call.shape[0][-rank:])
    return [(*axes[:-rank], *space)] * 2
