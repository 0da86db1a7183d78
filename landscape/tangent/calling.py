"""The outputs of the network that a kernel is of: those that the loss reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from landscape.errors import DataError
from landscape.subject.batch import Batch
from landscape.subject.graph import read_by
from landscape.subject.losses import IGNORED, CrossEntropy, Loss
from landscape.subject.outputs import class_axis
from landscape.subject.subject import Subject


def called(subject: Subject, tensors: Mapping[str, Tensor], batch: Batch) -> Tensor:  # (n, O)
    """Return the outputs that the loss reads, flat for every sample.

    Where the cross-entropy ignores a target, the outputs there are constants, zero: their rows of
    the kernel are zero, so that no padding counts.
    """
    own = batch.mapped(torch.clone)
    network = subject.network
    buffers = {name for name, _ in network.model.named_buffers()}
    given = {name: t.clone() if name in buffers else t for name, t in tensors.items()}
    told = functional_call(network.model, given, own.args, dict(own.kwargs))
    read = read_by(subject.criterion)(told)
    if any(one.dim() == 0 or len(one) != batch.samples for one in read):
        raise DataError(
            "the outputs are not one for each sample",
            where="tangent kernel",
            why="a kernel compares samples",
            hint="give a network whose outputs begin with the samples",
        )
    if _marked(subject.criterion, batch.targets):
        read = [torch.where(_counted(read[0], batch.targets), read[0], 0.0)]
    return torch.cat([one.flatten(1) for one in read], 1)


def outputs_of(subject: Subject, batch: Batch) -> int:
    """Return O. Cost: a forward pass of one sample."""
    with subject.undisturbed(0), torch.no_grad():
        return called(subject, subject.network.tensors(subject.point), batch.head(1)).shape[1]


def counted_outputs(subject: Subject, batch: Batch) -> Tensor | None:  # (n, O), bool
    """Return which outputs the loss reads; None: all.

    Cost: a forward pass where a target is ignored.
    """
    targets = batch.targets
    if not _marked(subject.criterion, targets) or not bool((targets == IGNORED).any()):
        return None
    with subject.undisturbed(0), torch.no_grad():
        (logits,) = read_by(subject.criterion)(subject.outputs(subject.point, batch))
    return _counted(logits, targets).flatten(1)


def _marked(criterion: Loss, targets: Any) -> bool:
    """Return whether targets can be ignored."""
    if not isinstance(criterion, CrossEntropy) or not isinstance(targets, Tensor):
        return False
    return not targets.is_floating_point()


def _counted(logits: Tensor, targets: Tensor) -> Tensor:  # the shape of the logits, bool
    known = (targets != IGNORED).unsqueeze(class_axis(logits, targets))
    return known.expand_as(logits)
