"""Images with their channels last, where PyTorch pools them several times faster."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from landscape.errors import DataError
from landscape.subject.batch import Batch
from landscape.subject.outputs import logits_of
from landscape.subject.subject import Subject

IMAGE = 4  # axes: samples, channels, height, width
AGREEMENT = 1e-4  # relative, of outputs in both formats


def with_channels_last(batch: Batch) -> Batch:
    """Return the batch with its images laid out with channels last; the numbers are the same."""

    def laid_out(tensor: Tensor) -> Tensor:
        if not _is_image(tensor):
            return tensor
        return tensor.clone(memory_format=torch.channels_last)  # also of one channel

    return batch.mapped(laid_out)


def channels_last_fits(subject: Subject, batch: Batch) -> bool:
    """Return whether images may have their channels last, and gain by it.

    On the host max pooling is several times faster so. A network that views activations as they
    lie in memory cannot be called then, and is given its batches as they are.

    Args:
        subject: The caller guards it, and switches gradients off.
        batch: On its device.

    Cost: two forward passes over the batch, where there is something to gain.
    """
    pools = any(isinstance(one, nn.MaxPool2d) for one in subject.network.model.modules())
    images = any(_is_image(tensor) for tensor in batch.tensors())
    if subject.device.type != "cpu" or not pools or not images:
        return False
    given = logits_of(subject.outputs(subject.point, batch))
    try:
        other = logits_of(subject.outputs(subject.point, with_channels_last(batch)))
    except DataError:
        return False
    size = float(given.abs().max())
    return torch.allclose(other, given, rtol=AGREEMENT, atol=AGREEMENT * size)


def _is_image(tensor: Tensor) -> bool:
    return tensor.dim() == IMAGE and tensor.is_floating_point()
