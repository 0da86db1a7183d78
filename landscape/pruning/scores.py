"""What a weight is worth: one number for each, by name; the highest are kept."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from landscape.operators.hessian import HessianOperator
from landscape.pruning.flow import flow
from landscape.subject.subject import Subject

Scores = dict[str, Tensor]


def magnitude(tensors: Mapping[str, Tensor], names: tuple[str, ...]) -> Scores:
    """Return |w| (Janowsky 1989; Han et al. 2015, arXiv 1506.02626)."""
    return {name: tensors[name].detach().double().abs().cpu() for name in names}


def large_final_same_sign(
    first: Mapping[str, Tensor], last: Mapping[str, Tensor], names: tuple[str, ...]
) -> Scores:
    """Return |w_last| where its sign is that of w_first, and −|w_last| elsewhere.

    Source: Zhou et al. 2019, arXiv 1905.01067, table 1 (large final, same sign).
    """
    pairs = _pairs(first, last, names)
    return {name: after * torch.sign(before) for name, (before, after) in pairs.items()}


def magnitude_increase(
    first: Mapping[str, Tensor], last: Mapping[str, Tensor], names: tuple[str, ...]
) -> Scores:
    """Return |w_last| − |w_first|.

    Source: Zhou et al. 2019, arXiv 1905.01067, table 1 (magnitude increase).
    """
    pairs = _pairs(first, last, names)
    return {name: after.abs() - before.abs() for name, (before, after) in pairs.items()}


def movement(
    first: Mapping[str, Tensor], last: Mapping[str, Tensor], names: tuple[str, ...]
) -> Scores:
    """Return |w_last − w_first| (Zhou et al. 2019, arXiv 1905.01067, table 1: movement)."""
    pairs = _pairs(first, last, names)
    return {name: (after - before).abs() for name, (before, after) in pairs.items()}


def snip(subject: Subject, tensors: Mapping[str, Tensor], names: tuple[str, ...]) -> Scores:
    """Return |w ∂L/∂w|: how fast the loss moves as a weight is scaled.

    Cost: a gradient over the data.

    Source: Lee, Ajanthan & Torr 2019, arXiv 1810.02340, eq. 5.
    Differs from the source: the gradient is over all data given, not one minibatch.
    """
    point = subject.network.point(tensors)
    parts = _by_name(subject, subject.gradient(point), names)
    return {name: (parts[name] * tensors[name].detach().double().cpu()).abs() for name in names}


def grasp(subject: Subject, tensors: Mapping[str, Tensor], names: tuple[str, ...]) -> Scores:
    """Return w ∂(½‖g‖²)/∂w = w ⊙ H g: what the squared gradient norm loses with the weight.

    To first order, deleting a weight changes ‖g‖² by −2 w (Hg); where this is a gain the weight
    goes first.

    Cost: a gradient and one Hessian product over the data.

    Source: Wang, Zhang & Grosse 2020, arXiv 2002.07376, eq. 8.
    Differs from the source: all data, no temperature on the outputs, no weights drawn anew.
    """
    point = subject.network.point(tensors)
    gradient = subject.gradient(point)
    operator = HessianOperator(subject, point)
    _ = operator.check
    parts = _by_name(subject, operator.matvec(gradient), names)
    return {name: parts[name] * tensors[name].detach().double().cpu() for name in names}


def synflow(subject: Subject, tensors: Mapping[str, Tensor], names: tuple[str, ...]) -> Scores:
    """Return |w| ∂R/∂|w|, the synaptic flow (`landscape.pruning.flow`)."""
    return flow(subject, tensors, names).through


def _by_name(subject: Subject, vector: Tensor, names: tuple[str, ...]) -> Scores:
    """Return a flat vector as tensors; zero where a mask of the study holds coordinates fixed."""
    parameters = subject.parameters
    zeros = {
        b.name: torch.zeros(b.shape, dtype=vector.dtype, device=vector.device)
        for b in parameters.blocks
    }
    found = parameters.unflatten(vector, zeros)
    return {name: found[name].detach().double().cpu() for name in names}


def _pairs(
    first: Mapping[str, Tensor], last: Mapping[str, Tensor], names: tuple[str, ...]
) -> dict[str, tuple[Tensor, Tensor]]:
    return {
        name: (first[name].detach().double().cpu(), last[name].detach().double().cpu())
        for name in names
    }
