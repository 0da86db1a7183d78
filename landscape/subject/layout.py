"""How weights fall into the slices of single output units, by the type of the module."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase  # pyright: ignore[reportPrivateUsage]
from torch.nn.modules.conv import (
    _ConvNd,  # pyright: ignore[reportPrivateUsage]
    _ConvTransposeNd,  # pyright: ignore[reportPrivateUsage]
)
from torch.nn.utils.parametrizations import (
    _SpectralNorm,  # pyright: ignore[reportPrivateUsage]
    _WeightNorm,  # pyright: ignore[reportPrivateUsage]
)
from torch.nn.utils.parametrize import ParametrizationList

NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
FIRST = (  # output units, or the rows of a table, on the first axis
    nn.Linear,
    nn.Bilinear,
    _ConvNd,
    nn.Embedding,
    nn.EmbeddingBag,
    nn.MultiheadAttention,
    nn.RNNBase,
    nn.RNNCellBase,
)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where the output units of a parameter tensor lie.

    Args:
        kind: `units`: a slice for each output unit; `whole`: the tensor is one slice; `vector`: a
            bias, a scalar, or a parameter of a normalisation layer.
        axis: Of the units.
        groups: Of a transposed convolution, whose first axis holds the inputs of all groups, and
            whose second the outputs of one.
    """

    kind: Literal["units", "whole", "vector"]
    axis: int = 0
    groups: int = 1

    def lengths(self, tensor: Tensor) -> Tensor:
        """Return the length of every slice, in float64, in a shape that multiplies `split`."""
        squares = self.split(tensor).double().square()
        if self.kind != "units":
            return squares.sum().sqrt()
        axes = (1, 3) if self.axis else (1,)
        return squares.sum(axes, keepdim=True).sqrt()

    def split(self, tensor: Tensor) -> Tensor:
        """Return the tensor as (units, rest), or (groups, inputs, outputs, rest); a view."""
        if self.kind != "units":
            return tensor
        if not self.axis:
            return tensor.reshape(len(tensor), -1)
        inputs, outputs = tensor.shape[:2]
        return tensor.reshape(self.groups, inputs // self.groups, outputs, -1)

    def like(self, direction: Tensor, weights: Tensor) -> Tensor:
        """Return a direction whose slices are as long as those of the weights.

        A slice of the direction that is zero stays so.
        """
        own = self.lengths(direction)
        ratio = torch.where(own > 0, self.lengths(weights) / own, 0.0)
        scaled = self.split(direction).double() * ratio
        return scaled.reshape(direction.shape).to(direction.dtype)


WHOLE, VECTOR = Layout(kind="whole"), Layout(kind="vector")


def layouts(model: nn.Module) -> dict[str, Layout]:
    """Return the layout of every parameter, by name, tied ones by their first owner.

    Output units are on axis 0 of linear layers, convolutions, recurrent and attention projections,
    and the rows of an embedding; on axis 1, group by group, of transposed convolutions. What is
    one-dimensional or belongs to a normalisation layer is a `vector`, the lengths g of weight
    normalisation, w = g v / ‖v‖, too; its v is like the weight. A parameter of a module that is not
    known is `whole`.
    """
    found: dict[str, Layout] = {}
    for prefix, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            full = f"{prefix}.{name}" if prefix else name
            if isinstance(module, ParametrizationList):
                owner = model.get_submodule(prefix.rpartition("parametrizations")[0].rstrip("."))
                found[full] = _parametrized(module, owner, name, parameter)
            else:
                found[full] = _layout(module, name, parameter)
    return found


def _parametrized(held: ParametrizationList, owner: nn.Module, name: str, given: Tensor) -> Layout:
    """Return the layout of what a weight of a module is computed from."""
    if isinstance(held[0], _WeightNorm) and name == "original0":
        return VECTOR
    if isinstance(held[0], (_WeightNorm, _SpectralNorm)):
        return _layout(owner, "weight", given)
    return VECTOR if given.dim() < 2 else WHOLE


def _layout(module: nn.Module, name: str, parameter: Tensor) -> Layout:
    lengths = name.endswith("_g") and hasattr(module, f"{name[:-1]}v")  # of weight_norm, the older
    if lengths or parameter.dim() < 2 or isinstance(module, NORMS) or name in ("bias_k", "bias_v"):
        return VECTOR
    if isinstance(module, _ConvTransposeNd):
        return Layout(kind="units", axis=1, groups=module.groups)
    if _is_reversed(module):
        return Layout(kind="units", axis=1)
    return Layout(kind="units") if isinstance(module, FIRST) else WHOLE


def _is_reversed(module: nn.Module) -> bool:
    """Return whether it is the linear layer of GPT-2 in `transformers`: weights (in, out)."""
    kind = type(module)
    return kind.__name__ == "Conv1D" and kind.__module__.startswith("transformers.")
