"""The synaptic flow: how much passes through each weight from all inputs to all outputs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from landscape.errors import ModelError, NumericalError, SettingError
from landscape.pruning.followed import Followed
from landscape.pruning.positive import PositiveFlow
from landscape.subject.batch import Batch
from landscape.subject.graph import read_by
from landscape.subject.network import Network
from landscape.subject.subject import Subject

SAMPLES = 2  # of the data, for the shape of the inputs alone


@dataclass(frozen=True, kw_only=True)
class Flow:
    """R of one sample, and what each weight has of it.

    Args:
        total: R, the sum of all outputs.
        through: |w| ∂R/∂|w| by name, float64.
        scaled: Whether layers were divided, against overflow, so that only the ranking counts.
    """

    total: float
    through: dict[str, Tensor]
    scaled: bool = False


def flow(
    subject: Subject,
    tensors: Mapping[str, Tensor],
    names: tuple[str, ...],
    *,
    followed: bool = False,
) -> Flow:
    """Return R = Σ outputs of the network with weights |w| at inputs of ones, and |w| ∂R/∂|w|.

    Biases are zero. In a chain of layers R = 1ᵀ Π|W_l| 1, and the flow through every layer sums to
    R; at weights of zero and one R counts paths. All in float64; where even that overflows, every
    layer is first divided by the mean sum of its rows: in a chain the ranking is the same.

    Args:
        subject: Gives network and the shape of its inputs; the values of the data do not matter.
        tensors: Of the network, by name.
        names: Whose flow is told.
        followed: Refuse a network in which weights on a path are not those with a flow above zero.

    Raises:
        SettingError: The subject has no data, so the shape of the inputs is not known.
        ModelError: None of the weights reaches the output, or paths cannot be followed.
        NumericalError: R is not finite.

    Cost: one forward and backward pass of two samples in float64.

    Source: Tanaka, Kunin, Yamins & Ganguli 2020, arXiv 2006.05467, eq. 2.
    Differs from the source: nonlinearities are taken out (`PositiveFlow`), so that it passes
    normalisation and attention too.
    """
    found = _flow(subject, _weights(tensors), names, followed)
    if not math.isfinite(found.total):
        scaled = _flow(subject, _scaled(_weights(tensors), names), names, followed)
        found = Flow(total=scaled.total, through=scaled.through, scaled=True)
        subject.note(
            "synaptic flow: layers were divided by the mean sum of their rows, against overflow"
        )
    if not math.isfinite(found.total):
        raise NumericalError(
            "the flow through the network is not finite",
            where="synaptic flow",
            why="it is a product over the layers",
            hint="use another score",
        )
    return found


def _flow(
    subject: Subject, weights: dict[str, Tensor], names: tuple[str, ...], followed: bool
) -> Flow:
    batch = _ones(subject)
    network = Network(subject.network.model, "all")  # whatever is studied of it
    point = network.point(weights)
    theta = point.theta.requires_grad_()
    mode = Followed(batch.tensors()) if followed else PositiveFlow()
    with subject.undisturbed(0), mode:
        outputs = network.outputs(point.moved(theta), batch, subject.criterion)
        read = read_by(subject.criterion)(outputs)
        if isinstance(mode, Followed):
            mode.refuse(one for one in read if one.is_floating_point())
        total = torch.stack([one.double().sum() for one in read]).sum() / batch.samples
        if not total.requires_grad:
            raise ModelError(
                "no weight that may be pruned reaches the output",
                where="synaptic flow",
                why="the flow is a product along paths, and every score would be zero",
                hint="use magnitude or random masks for this network",
            )
        (slope,) = torch.autograd.grad(total, theta)
    slopes = network.parameters.unflatten(slope, {n: torch.zeros_like(weights[n]) for n in names})
    through = {name: (weights[name] * slopes[name]).detach().cpu() for name in names}
    return Flow(total=float(total.detach()), through=through)


def _weights(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return absolute values in float64, biases zero."""
    found = dict[str, Tensor]()
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            found[name] = tensor
        elif "bias" in name.rsplit(".", 1)[-1]:
            found[name] = torch.zeros_like(tensor, dtype=torch.float64)
        else:
            found[name] = tensor.detach().double().abs()
    return found


def _scaled(weights: dict[str, Tensor], names: tuple[str, ...]) -> dict[str, Tensor]:
    return weights | {n: weights[n] / (weights[n].flatten(1).sum(1).mean() or 1.0) for n in names}


def _ones(subject: Subject) -> Batch:
    """Return a few samples with every floating input one."""
    if subject.batches is None:
        raise SettingError(
            "the flow cannot be computed without data",
            where="synaptic flow",
            why="the shape of the inputs is not known",
            hint="give --data; random:shape=… will do, only the shape counts",
        )
    batch = next(iter(subject.device_batches())).head(SAMPLES)
    return batch.to(subject.device, torch.float64).mapped(
        lambda t: torch.ones_like(t) if t.is_floating_point() else t
    )
