"""Affine maps of a module's channels, and the weights that compute the same without them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd  # pyright: ignore[reportPrivateUsage]

from landscape.subject.moments import Moments
from landscape.subject.network import Network

Tensors = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Affine:
    """y ↦ scale · y + shift, channel by channel."""

    scale: Tensor  # (C,)
    shift: Tensor  # (C,)

    def __call__(self, activation: Tensor, axis: int) -> Tensor:
        """Return an activation with its channels, counted by an axis, scaled and shifted."""
        shape = [1] * activation.dim()
        shape[axis] = -1
        scale, shift = (part.to(activation).view(shape) for part in (self.scale, self.shift))
        return activation * scale + shift

    def then(self, other: Affine) -> Affine:
        """Return this map followed by another."""
        return Affine(scale=other.scale * self.scale, shift=other.scale * self.shift + other.shift)


def folded(network: Network, tensors: Mapping[str, Tensor], name: str, affine: Affine) -> Tensors:
    """Return the tensors with which a module computes what it did, followed by a map.

    Args:
        network: That owns the module.
        tensors: By name, as `Network.tensors` gives them.
        name: Of the module.
        affine: What follows it.

    Returns:
        The changed tensors by name; none where the module cannot hold the map exactly: it has no
        bias, its weights are computed or shared, or it is of an unknown kind.
    """
    module = network.model.get_submodule(name)
    weight, bias = (tensor_name(name, part) for part in ("weight", "bias"))
    if not _holds(network, module, tensors, (weight, bias)):
        return {}
    old, shift = tensors[weight], tensors[bias]
    shape = [1] * old.dim()
    shape[1 if isinstance(module, _ConvTransposeNd) else 0] = -1
    return {
        weight: old * affine.scale.to(old).view(shape),
        bias: shift * affine.scale.to(shift) + affine.shift.to(shift),
    }


def renormalised(
    module: _BatchNorm, name: str, tensors: Mapping[str, Tensor], inputs: Moments
) -> tuple[Tensors, Affine]:
    """Return BatchNorm's statistics of its present inputs, and the map that undoes the change.

    With z = (x − m) / √(v + ε) the old standardised input and z' the new one,
    z = k z' + d, where k = √((v' + ε) / (v + ε)) and d = (m' − m) / √(v + ε).

    Args:
        module: The BatchNorm, with running statistics.
        name: Of it.
        tensors: By name, as `Network.tensors` gives them.
        inputs: The moments of what it is given.
    """
    mean, variance = (tensor_name(name, part) for part in ("running_mean", "running_var"))
    old = (tensors[variance].double() + module.eps).sqrt()
    unbiased = inputs.square / max(inputs.count - 1, 1)
    k = (unbiased + module.eps).sqrt() / old
    d = (inputs.mean - tensors[mean].double()) / old
    weight = tensors.get(tensor_name(name, "weight"))
    bias = tensors.get(tensor_name(name, "bias"))
    gain = torch.ones_like(k) if weight is None else weight.double()
    offset = torch.zeros_like(k) if bias is None else bias.double()
    statistics = {
        mean: inputs.mean.to(tensors[mean]),
        variance: unbiased.to(tensors[variance]),
    }
    return statistics, Affine(scale=k, shift=offset * (1 - k) + gain * d)


def tensor_name(module: str, part: str) -> str:
    """Return the full name of a module's tensor."""
    return f"{module}.{part}" if module else part


def _holds(
    network: Network, module: nn.Module, tensors: Mapping[str, Tensor], names: tuple[str, str]
) -> bool:
    known = isinstance(module, _ConvNd | nn.Linear | _BatchNorm | nn.LayerNorm | nn.GroupNorm)
    own = dict(module.named_parameters(recurse=False))
    plain = own.get("weight") is not None and own.get("bias") is not None
    shared = any(network.aliases.get(name) for name in names)
    grouped = isinstance(module, _ConvTransposeNd) and module.groups > 1
    return known and plain and not shared and not grouped and all(n in tensors for n in names)
