"""The network as sums of products of its weights: what is left when nonlinearity is taken out."""

# ruff: noqa: ARG001, ARG005 - signatures are those of the functions that are stood in for

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

_ACTIVATIONS = (
    "relu relu6 leaky_relu rrelu prelu elu celu selu gelu silu mish hardswish hardtanh hardsigmoid "
    "tanh sigmoid logsigmoid softplus softsign tanhshrink hardshrink softshrink threshold"
)
_OTHERS = (
    "dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout log_softmax "
    "instance_norm local_response_norm normalize"
)
AS_IS = frozenset(f"{_ACTIVATIONS} {_OTHERS}".split())


class PositiveFlow(TorchFunctionMode):
    """Inside it, a forward pass of non-negative numbers counts paths through the layers.

    Activations, dropout and the centring of normalisation pass their input on; normalisation keeps
    its scales; maxima over windows are means, so that no path hides behind another; attention is
    the product of queries, keys and values; a token reads every row of an embedding. What remains
    is a polynomial in the weights with coefficients that are not negative.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call a function of PyTorch, or what stands for it."""
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "").rstrip("_")
        if name in AS_IS:
            return args[0] if args else kwargs["input"]
        instead = INSTEAD.get(name)
        return instead(*args, **kwargs) if instead is not None else func(*args, **kwargs)


def _batch_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *rest: Any,
) -> Tensor:
    shape = [1, -1] + [1] * (input.dim() - 2)
    scale = torch.ones(input.shape[1], dtype=input.dtype, device=input.device)
    if running_var is not None and not training:
        scale = (running_var.abs() + eps).rsqrt()
    return input * (scale if weight is None else scale * weight).view(shape)


def _layer_norm(
    input: Tensor, normalized_shape: Any, weight: Tensor | None = None, *rest: Any, **more: Any
) -> Tensor:
    return input if weight is None else input * weight


def _group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, *rest: Any, **more: Any
) -> Tensor:
    return input if weight is None else input * weight.view([1, -1] + [1] * (input.dim() - 2))


def _softmax(input: Tensor, dim: int | None = None, *rest: Any, **more: Any) -> Tensor:
    return input / input.shape[-1 if dim is None else dim]


def _attention(query: Tensor, key: Tensor, value: Tensor, *rest: Any, **more: Any) -> Tensor:
    if key.shape[-3:-2] != query.shape[-3:-2]:  # grouped queries
        repeats = query.shape[-3] // key.shape[-3]
        key, value = (one.repeat_interleave(repeats, -3) for one in (key, value))
    return query @ key.transpose(-2, -1) @ value / key.shape[-2]


def _embedding(input: Tensor, weight: Tensor, *rest: Any, **more: Any) -> Tensor:
    return weight.sum(0).expand(*input.shape, weight.shape[1])


def _bag(
    input: Tensor, weight: Tensor, offsets: Tensor | None = None, *rest: Any, **more: Any
) -> Tensor:
    bags = len(input) if offsets is None else len(offsets)
    return weight.sum(0).expand(bags, weight.shape[1])


def _mean_over(pool: Callable[..., Tensor], dims: int) -> Callable[..., Any]:
    def pooled(
        input: Tensor,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Tensor:
        if dilation not in (1, (1,) * dims, [1] * dims):
            kernel_size = _spread(kernel_size, dilation)
        return pool(input, kernel_size, stride, padding, ceil_mode)

    return pooled


def _spread(kernel: Any, dilation: Any) -> Any:
    """Return a kernel without holes that covers a dilated one."""
    if isinstance(kernel, int) and isinstance(dilation, int):
        return dilation * (kernel - 1) + 1
    kernels = [kernel] * len(dilation) if isinstance(kernel, int) else kernel
    dilations = [dilation] * len(kernels) if isinstance(dilation, int) else dilation
    return [d * (k - 1) + 1 for k, d in zip(kernels, dilations, strict=True)]


def _adaptive(pool: Callable[..., Tensor]) -> Callable[..., Any]:
    return lambda input, output_size, return_indices=False: pool(input, output_size)


def _multi_head(  # noqa: PLR0913
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    *rest: Any,
    **more: Any,
) -> tuple[Tensor, None]:
    weights = (
        in_proj_weight.chunk(3)
        if in_proj_weight is not None
        else [more[f"{one}_proj_weight"] for one in "qkv"]
    )
    q, k, v = (x @ w.T for x, w in zip((query, key, value), weights, strict=True))  # (t, b, d)
    q, k, v = (one.unflatten(-1, (num_heads, -1)).movedim(0, -2) for one in (q, k, v))
    mixed = _attention(q, k, v).movedim(-2, 0).flatten(-2)
    return mixed @ out_proj_weight.T, None


INSTEAD: dict[str, Callable[..., Any]] = {
    "batch_norm": _batch_norm,
    "layer_norm": _layer_norm,
    "rms_norm": _layer_norm,
    "group_norm": _group_norm,
    "softmax": _softmax,
    "softmin": _softmax,
    "scaled_dot_product_attention": _attention,
    "embedding": _embedding,
    "embedding_bag": _bag,
    "max_pool1d": _mean_over(F.avg_pool1d, 1),
    "max_pool2d": _mean_over(F.avg_pool2d, 2),
    "max_pool3d": _mean_over(F.avg_pool3d, 3),
    "adaptive_max_pool1d": _adaptive(F.adaptive_avg_pool1d),
    "adaptive_max_pool2d": _adaptive(F.adaptive_avg_pool2d),
    "adaptive_max_pool3d": _adaptive(F.adaptive_avg_pool3d),
    "multi_head_attention_forward": _multi_head,
}
