"""What the outputs of chosen samples are compared to, and the curvature of the loss in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from landscape.kernels.likelihood import Likelihood
from landscape.operators.bend import hessian_bend
from landscape.subject.batch import Batch
from landscape.subject.losses import IGNORED, BinaryCrossEntropy, CrossEntropy, MeanSquaredError
from landscape.subject.outputs import class_axis, logits_of
from landscape.subject.subject import Subject
from landscape.tangent.calling import counted_outputs

NONE_GIVEN = "no held-out data were given"
UNKNOWN = "the loss has no targets of the shape of the outputs"
RAGGED = "the loss ignores some targets, so that samples have different outputs to regress on"


@dataclass(frozen=True, kw_only=True)
class Targets:
    """Targets of N samples, in the shape of the flat outputs.

    Args:
        values: Y (N, O): one-hot labels, or real targets; None where the loss tells of none.
        labels: (N,) where every sample has one label.
        square: Whether the loss is the squared error of the outputs themselves.
        count: What the mean loss of these samples runs over.
        roots: S (N, O, O) with S Sᵀ = ∇²ℓ of every sample, where it was asked for.
        counted: Which outputs the loss reads (N, O); None: all.
        layout: Of a cross-entropy, where the classes of a sample's outputs lie, as `Likelihood`
            takes it; None for other losses.
    """

    values: np.ndarray | None
    labels: np.ndarray | None
    square: bool
    count: int
    roots: np.ndarray | None
    counted: np.ndarray | None = None
    layout: tuple[int, int, int] | None = None

    @property
    def likelihood(self) -> Likelihood | None:
        """Return the cross-entropy of these samples; None for other losses."""
        if self.layout is None or self.values is None:
            return None
        return Likelihood(values=self.values, layout=self.layout, count=self.count)

    @property
    def centred(self) -> np.ndarray | None:  # (N, O)
        """Return Y less its mean over the samples whose output the loss reads, zero elsewhere."""
        if self.values is None or self.counted is None:
            return None if self.values is None else self.values - self.values.mean(0)
        mean = self.values.sum(0) / np.maximum(self.counted.sum(0), 1)
        return (self.values - mean) * self.counted

    @property
    def ignored(self) -> int:
        """Return how many outputs the loss does not read."""
        return 0 if self.counted is None else int((~self.counted).sum())


def targets_of(subject: Subject, batches: list[Batch], *, curved: bool = False) -> Targets:
    """Return the targets of some samples at the subject's point.

    Args:
        subject: Network and loss.
        batches: On its device.
        curved: Whether the curvature of the loss in the outputs is wanted.

    Cost: a forward pass; with `curved` O products of ∇²ℓ.
    """
    values, labels, roots, counted, count, layout = [], [], [], [], 0, None
    criterion = subject.criterion
    for batch in batches:
        with subject.undisturbed(0), torch.no_grad():
            told = subject.outputs(subject.point, batch)
        count += criterion.count(told, batch.targets)
        logits = logits_of(told)
        layout = _layout(subject, logits, batch.targets)
        counted.append(counted_outputs(subject, batch))
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
        counted=_counted(counted, values),
        layout=layout,
    )


def _counted(parts: list[Tensor | None], values: list[Tensor | None]) -> np.ndarray | None:
    """Return which outputs are read, where any is not."""
    if all(part is None for part in parts):
        return None
    pairs = zip(parts, values, strict=True)
    whole = [torch.ones_like(v, dtype=torch.bool) if p is None else p for p, v in pairs]  # type: ignore[arg-type]
    return torch.cat(whole).cpu().numpy()


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


def _layout(subject: Subject, logits: Tensor, targets: Any) -> tuple[int, int, int] | None:
    """Return the places before, the classes and the places after of a sample's flat outputs."""
    criterion = subject.criterion
    if isinstance(criterion, BinaryCrossEntropy):
        return logits[0].numel(), 1, 1
    if not isinstance(criterion, CrossEntropy):
        return None
    axis = class_axis(logits, targets)
    before, after = logits.shape[1:axis], logits.shape[axis + 1 :]
    return before.numel(), logits.shape[axis], after.numel()


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
