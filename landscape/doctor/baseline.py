"""The loss of the best constant prediction: what a network must beat to have learnt anything."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from landscape.subject.batch import Batch
from landscape.subject.losses import (
    IGNORED,
    BinaryCrossEntropy,
    CrossEntropy,
    Loss,
    MeanSquaredError,
)


def best_constant(loss: Loss, batches: Iterable[Batch]) -> float | None:
    """Return the smallest mean loss of outputs that are the same for every input.

    `ce`: the entropy of the labels; `mse`: the variance of each target, averaged; `bce`: the
    entropy of each label, averaged. None for other losses, and targets whose shape varies.

    Cost: one pass over the targets.
    """
    targets = [batch.targets for batch in batches]
    if not all(isinstance(one, Tensor) and one.dim() for one in targets):
        return None
    if isinstance(loss, CrossEntropy):
        shares = _shares(targets)
        return float(torch.special.entr(shares).sum()) if shares is not None else None
    if not isinstance(loss, MeanSquaredError | BinaryCrossEntropy):
        return None
    if len({one.shape[1:] for one in targets}) > 1:
        return None
    values = torch.cat(
        [one.double().flatten(1) if one.dim() > 1 else one.double()[:, None] for one in targets]
    )
    mean = values.mean(0)
    if isinstance(loss, MeanSquaredError):
        return float(values.var(0, correction=0).mean())
    return float((torch.special.entr(mean) + torch.special.entr(1 - mean)).mean())


def _shares(targets: list[Tensor]) -> Tensor | None:
    """Return how often each class occurs among what counts (c,)."""
    if all(one.is_floating_point() for one in targets):  # classes on dimension 1
        totals = sum(one.double().transpose(0, 1).flatten(1).sum(1) for one in targets)
        return totals / totals.sum() if isinstance(totals, Tensor) else None
    if any(one.is_floating_point() for one in targets):
        return None
    kept = torch.cat([one[one != IGNORED].flatten() for one in targets]).long()
    counts = kept.bincount().double()
    return counts / counts.sum()
