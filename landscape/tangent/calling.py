"""The outputs of the network that a kernel is of."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.func import functional_call

from landscape.errors import DataError
from landscape.subject.batch import Batch
from landscape.subject.graph import read_by
from landscape.subject.subject import Subject


def called(subject: Subject, tensors: Mapping[str, Tensor], batch: Batch) -> Tensor:  # (n, O)
    """Return the outputs that the loss reads, flat for every sample."""
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
    return torch.cat([one.flatten(1) for one in read], 1)


def outputs_of(subject: Subject, batch: Batch) -> int:
    """Return O. Cost: a forward pass of one sample."""
    with subject.undisturbed(0), torch.no_grad():
        return called(subject, subject.network.tensors(subject.point), batch.head(1)).shape[1]
