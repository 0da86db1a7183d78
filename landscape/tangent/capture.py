"""Factors of every layer for some samples, caught while the network runs."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from landscape.tangent.factors import Factors, Flat, Lookup, Outer, condensed

UNBATCHED = re.compile(r"vmap|functorch|batching rule|storage|data pointer", re.IGNORECASE)

Finish = Callable[[Tensor], Factors]  # of D (n, O, *shape of the output without n)


@dataclass
class Use:
    """One use of a parameter: where its output is, and how factors follow from its derivative."""

    name: str
    output: Tensor
    finish: Finish
    watched: Tensor  # what came in, and must not be written to
    version: int
    rows: bool  # whether every row is treated alike, so that samples may be several rows each


@dataclass
class Capture(TorchFunctionMode):
    """Inside it, every use of a parameter by an operation that has factors is written down.

    Args:
        parameters: Tensors of the network by name, with gradients; they are told by identity.
    """

    parameters: Mapping[str, Tensor]
    uses: list[Use] = field(default_factory=list[Use])

    def __post_init__(self) -> None:
        super().__init__()
        self._names = {id(tensor): name for name, tensor in self.parameters.items()}

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call a function of PyTorch; write down what it uses of the parameters."""
        kwargs = dict(kwargs or {})
        rule = _RULES.get(getattr(func, "__name__", ""))
        if rule is None:
            return func(*args, **kwargs)
        output = func(*args, **kwargs)
        try:
            found = rule(*args, **kwargs)
        except _UnfactoredError:
            return output
        own = [(self._names[id(t)], finish) for t, finish in found if id(t) in self._names]
        if not own:
            return output
        if not output.requires_grad:
            return output  # by torch.no_grad: autograd does not see it either
        called = func.__name__
        entered = kwargs["input"] if not args else args[1 if called == "addmm" else 0]
        version, rows = entered._version, called in ROWS
        self.uses += [Use(name, output, f, entered, version, rows) for name, f in own]
        return output.clone()  # may be written to

    @property
    def intact(self) -> bool:
        """Return whether what came in is still what it was."""
        return all(use.watched._version == use.version for use in self.uses)


def factors_of(uses: list[Use], outputs: Tensor) -> dict[str, Factors]:
    """Return the factors of every parameter that was caught.

    Args:
        uses: Of one forward pass, whose graph is kept.
        outputs: (n, O) of it, or combinations of them; samples independent of one another.

    Cost: O backward passes through the activations, all at once where PyTorch can.
    """
    samples = len(outputs)
    strange = {use.name for use in uses if not _of_samples(use, samples)}
    uses = [use for use in uses if use.name not in strange]
    wanted = list({id(use.output): use.output for use in uses}.values())
    slopes = dict(zip(map(id, wanted), _slopes(outputs, wanted), strict=True))
    last = {id(use.output): number for number, use in enumerate(uses)}
    found = dict[str, Factors]()
    for number, use in enumerate(uses):
        place = id(use.output)
        one = use.finish(slopes[place])
        if last[place] == number:
            del slopes[place]  # they are large
        before = found.get(use.name)
        found[use.name] = one if before is None else _joined(before, one)
    return {name: condensed(one) for name, one in found.items()}


def _of_samples(use: Use, samples: int) -> bool:
    """Return whether an output begins with the samples, or with the rows of each."""
    count = len(use.output)
    return count == samples or (use.rows and count % samples == 0)


def _slopes(outputs: Tensor, wanted: list[Tensor]) -> list[Tensor]:  # each (n, O, *shape)
    """Return the derivatives of every output, summed over samples, in each of some tensors.

    What begins with the rows of the samples is (n, O, rows, …).
    """
    if not wanted:
        return []
    count = outputs.shape[1]
    unit = torch.eye(count, dtype=outputs.dtype, device=outputs.device)
    rows = unit[:, None].expand(count, *outputs.shape)
    try:
        found = _pulled(outputs, wanted, rows)
    except RuntimeError as error:
        if UNBATCHED.search(str(error)) is None:
            raise
        each = [_pulled(outputs, wanted, row[None]) for row in rows]
        found = [torch.cat(parts) for parts in zip(*each, strict=True)]
    samples = len(outputs)
    found = [o if o.shape[1] == samples else o.unflatten(1, (samples, -1)) for o in found]
    for number, one in enumerate(found):
        found[number] = one.transpose(0, 1).contiguous()  # in its place: they are large
        del one
    return found


def _pulled(outputs: Tensor, wanted: list[Tensor], rows: Tensor) -> list[Tensor]:
    """Return the derivatives along rows (k, n, O), each (k, *shape)."""
    several = len(rows) > 1
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "There is a performance drop")
        found = torch.autograd.grad(
            outputs,
            wanted,
            rows if several else rows[0],
            retain_graph=True,
            allow_unused=True,
            is_grads_batched=several,
        )
    return [
        one.new_zeros(len(rows), *one.shape) if grad is None else (grad if several else grad[None])
        for one, grad in zip(wanted, found, strict=True)
    ]


def _joined(first: Factors, second: Factors) -> Factors:
    if type(first) is type(second) and not isinstance(first, Flat):
        return first.joined(second)  # type: ignore[arg-type]
    return Flat(j=first.flat() + second.flat())


class _UnfactoredError(Exception):
    """This call has no factors; the parameter is seen to in another way."""


Found = list[tuple[Any, Finish]]


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Found:
    x = input.detach()

    def of_weight(d: Tensor) -> Factors:  # (n, O, ..., d_o)
        rows = x.reshape(len(d), -1, 1, x.shape[-1])
        return Outer(x=rows, d=d.reshape(*d.shape[:2], -1, 1, d.shape[-1]))

    return [(weight, of_weight), (bias, _over_rows)]


def _matmul(input: Tensor, other: Tensor) -> Found:
    """Return the use of a weight that holds d_i before d_o."""
    if other.dim() != 2 or input.dim() < 2:
        raise _UnfactoredError
    ((_, of_weight), _) = _linear(input, other)
    return [(other, lambda d: replace(of_weight(d), inward_first=True))]  # type: ignore[arg-type]


def _addmm(input: Tensor, mat1: Tensor, mat2: Tensor, **more: Any) -> Found:
    if more or input.dim() != 1:
        raise _UnfactoredError
    return [*_matmul(mat1, mat2), (input, _over_rows)]


def _over_rows(d: Tensor) -> Factors:
    """Return the Jacobian of a bias on the last axis."""
    rows = d.reshape(*d.shape[:2], -1, d.shape[-1])
    return Flat(j=rows[:, :, 0] if rows.shape[2] == 1 else rows.sum(2))


def _over_places(d: Tensor) -> Factors:
    """Return the Jacobian of a bias on the axis of channels."""
    return Flat(j=d.flatten(3).sum(3) if d.dim() > 3 else d)


def _conv(dims: int) -> Callable[..., Found]:
    def rule(
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Found:
        if input.dim() != dims + 2:
            raise _UnfactoredError
        kernel = weight.shape[2:]
        stride, dilation = _each(stride, dims), _each(dilation, dims)
        x = _padded(input.detach(), padding, kernel, dilation)

        def of_weight(d: Tensor) -> Factors:  # (n, O, d_o, *places)
            patches = _patches(x, kernel, stride, dilation)  # (n, T, channels, taps)
            patches = patches.unflatten(2, (groups, -1)).flatten(3)
            back = d.flatten(3).unflatten(2, (groups, -1)).permute(0, 1, 4, 2, 3)
            return Outer(x=patches, d=back)

        return [(weight, of_weight), (bias, _over_places)]

    return rule


def _each(value: Any, dims: int) -> tuple[int, ...]:
    return (value,) * dims if isinstance(value, int) else tuple(value)


def _padded(x: Tensor, padding: Any, kernel: Any, dilation: tuple[int, ...]) -> Tensor:
    dims = len(kernel)
    if padding == "valid":
        return x
    if padding == "same":
        whole = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        pads = [(one // 2, one - one // 2) for one in whole]
    else:
        pads = [(one, one) for one in _each(padding, dims)]
    return F.pad(x, [one for pair in reversed(pads) for one in pair])


def _patches(
    x: Tensor,
    kernel: Any,
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    *,
    places: Any = None,
) -> Tensor:  # (n, T, channels, taps)
    """Return what every place of a convolution sees, at most so many places an axis."""
    dims = len(kernel)
    for axis, (k, s, d) in enumerate(zip(kernel, stride, dilation, strict=True), start=2):
        x = x.unfold(axis, d * (k - 1) + 1, s)[..., ::d]
        if places is not None:
            x = x.narrow(axis, 0, places[axis - 2])
    x = x.permute(0, *range(2, 2 + dims), 1, *range(2 + dims, 2 + 2 * dims))
    return x.flatten(1, dims).flatten(3)


def _transposed(dims: int) -> Callable[..., Found]:
    def rule(
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        dilation: Any = 1,
    ) -> Found:
        del output_padding  # places that it adds see no input
        if input.dim() != dims + 2:
            raise _UnfactoredError
        kernel = weight.shape[2:]
        stride, dilation = _each(stride, dims), _each(dilation, dims)
        x = input.detach()

        def of_weight(d: Tensor) -> Factors:  # input and output change places
            whole = _padded(d.flatten(0, 1), padding, kernel, dilation)
            seen = _patches(whole, kernel, stride, dilation, places=x.shape[2:])
            seen = seen.unflatten(2, (groups, -1)).flatten(3).unflatten(0, d.shape[:2])
            rows = x.flatten(2).unflatten(1, (groups, -1)).permute(0, 3, 1, 2)
            return Outer(x=rows, d=seen, inward_first=True)

        return [(weight, of_weight), (bias, _over_places)]

    return rule


def _embedding(input: Tensor, weight: Tensor, *rest: Any, **more: Any) -> Found:
    padding = more.get("padding_idx", rest[0] if rest else None)
    if len(rest) > 1 or any(more.get(one) for one in ("max_norm", "scale_grad_by_freq", "sparse")):
        raise _UnfactoredError

    def of_weight(d: Tensor) -> Factors:
        ids = input.reshape(len(d), -1)
        back = d.reshape(*d.shape[:2], ids.shape[1], d.shape[-1])
        if padding is not None:  # its row never moves
            back = back * (ids != padding % len(weight))[:, None, :, None]
        return Lookup(ids=ids, d=back, size=len(weight))

    return [(weight, of_weight)]


def _layer_norm(
    input: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Found:
    x = F.layer_norm(input.detach(), normalized_shape, eps=eps)
    dims = len(normalized_shape)
    return [(weight, lambda d: _last(d * x[:, None], dims)), (bias, lambda d: _last(d, dims))]


def _last(d: Tensor, dims: int) -> Factors:
    """Return the Jacobian of what scales or shifts the last axes."""
    return Flat(
        j=d.flatten(-dims).reshape(*d.shape[:2], -1, d[0, 0].flatten(-dims).shape[-1]).sum(2)
    )


def _batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Found:
    del momentum
    if training or running_mean is None or running_var is None:
        raise _UnfactoredError
    x = F.batch_norm(input.detach(), running_mean, running_var, eps=eps)
    return [(weight, lambda d: _over_places(d * x[:, None])), (bias, _over_places)]


def _group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Found:
    x = F.group_norm(input.detach(), num_groups, eps=eps)
    return [(weight, lambda d: _over_places(d * x[:, None])), (bias, _over_places)]


ROWS = ("linear", "matmul", "__matmul__", "mm", "addmm", "embedding")
_RULES: dict[str, Callable[..., Found]] = {
    "linear": _linear,
    "matmul": _matmul,
    "__matmul__": _matmul,
    "mm": _matmul,
    "addmm": _addmm,
    "conv1d": _conv(1),
    "conv2d": _conv(2),
    "conv3d": _conv(3),
    "conv_transpose1d": _transposed(1),
    "conv_transpose2d": _transposed(2),
    "conv_transpose3d": _transposed(3),
    "embedding": _embedding,
    "layer_norm": _layer_norm,
    "batch_norm": _batch_norm,
    "group_norm": _group_norm,
}
