"""What the outputs of chosen samples are compared to, and the curvature of the loss in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from landscape.operators.bend import hessian_bend
from landscape.subject.batch import Batch
from landscape.subject.losses import (
    IGNORED,
    BinaryCrossEntropy,
    CrossEntropy,
    MeanSquaredError,
    class_axis,
    logits_of,
)
from landscape.subject.subject import Subject

UNKNOWN = "the loss has no targets of the shape of the outputs"


@dataclass(frozen=True, kw_only=True)
class Targets:
    """Targets of N samples, in the shape of the flat outputs.

    Args:
        values: Y (N, O): one-hot labels, or real targets; None where the loss tells of none.
        labels: (N,) where every sample has one label.
        square: Whether the loss is the squared error of the outputs themselves.
        count: What the mean loss of these samples runs over.
        roots: S (N, O, O) with S Sᵀ = ∇²ℓ of every sample, where it was asked for.
    """

    values: np.ndarray | None
    labels: np.ndarray | None
    square: bool
    count: int
    roots: np.ndarray | None

    @property
    def centred(self) -> np.ndarray | None:
        """Return Y less its mean over samples."""
        return None if self.values is None else self.values - self.values.mean(0)


def targets_of(subject: Subject, batches: list[Batch], *, curved: bool = False) -> Targets:
    """Return the targets of some samples at the subject's point.

    Args:
        subject: Network and loss.
        batches: On its device.
        curved: Whether the curvature of the loss in the outputs is wanted.

    Cost: a forward pass; with `curved` O products of ∇²ℓ.
    """
    values, labels, roots, count = [], [], [], 0
    criterion = subject.criterion
    for batch in batches:
        with subject.undisturbed(0), torch.no_grad():
            told = subject.outputs(subject.point, batch)
        count += criterion.count(told, batch.targets)
        logits = logits_of(told)
        values.append(_values(subject, logits, batch.targets))
        labels.append(_labels(subject, logits, batch.targets))
        if curved:
            roots.append(_roots(hessian_bend(criterion, batch.targets), logits))
    return Targets(
        values=_joined(values),
        labels=_joined(labels),
        square=isinstance(criterion, MeanSquaredError),
        count=count,
        roots=np.concatenate(roots) if roots else None,
    )


def _values(subject: Subject, logits: Tensor, targets: Any) -> Tensor | None:  # (n, O)
    criterion = subject.criterion
    if isinstance(criterion, CrossEntropy):
        if targets.is_floating_point():
            return targets.flatten(1)
        axis = class_axis(logits, targets)
        known = targets != IGNORED
        hot = F.one_hot(targets.long() * known, logits.shape[axis]) * known.unsqueeze(-1)
        return hot.movedim(-1, axis).flatten(1)
    if isinstance(criterion, MeanSquaredError | BinaryCrossEntropy):
        return targets.reshape(len(targets), -1)
    return None


def _labels(subject: Subject, logits: Tensor, targets: Any) -> Tensor | None:  # (n,)
    if not isinstance(subject.criterion, CrossEntropy) or targets.is_floating_point():
        return None
    return targets if targets.dim() == 1 and logits.dim() == 2 else None


def _roots(bend: Callable[[Tensor], Callable[[Tensor], Tensor]], logits: Tensor) -> np.ndarray:
    """Return S (n, O, O) from the curvature of every sample, by its eigenvectors."""
    outputs = logits[0].numel()
    identity = torch.eye(outputs, dtype=logits.dtype, device=logits.device)
    rows = identity.view(outputs, 1, *logits.shape[1:]).expand(outputs, *logits.shape)
    curved = bend(logits)(rows.contiguous()).flatten(2).movedim(0, 1)  # (n, O, O)
    value, vector = np.linalg.eigh(curved.double().cpu().numpy())
    return vector * np.sqrt(np.maximum(value, 0))[:, None, :]


def _joined(parts: list[Tensor | None]) -> np.ndarray | None:
    found = [part for part in parts if part is not None]
    if len(found) < len(parts) or not parts:
        return None
    whole = torch.cat(found).cpu()
    return whole.numpy() if not whole.is_floating_point() else whole.double().numpy()
