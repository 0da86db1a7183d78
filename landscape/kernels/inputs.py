"""What the samples themselves do to a kernel: outputs that may not count, and equal inputs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from landscape.subject.batch import Batch
from landscape.subject.losses import IGNORED, CrossEntropy
from landscape.subject.subject import Subject


def uncounted(subject: Subject, batches: list[Batch]) -> str:
    """Return why it is not known which outputs the loss reads; empty where it is."""
    if isinstance(subject.criterion, CrossEntropy):
        return ""
    marked = sum(_marked(batch.targets) for batch in batches)
    if not marked:
        return ""
    return (
        f"{marked:,} targets are {IGNORED}, and what this loss makes of them is its own: "
        "all outputs are in the kernel"
    )


def _marked(targets: object) -> int:
    if not isinstance(targets, Tensor) or targets.is_floating_point():
        return 0
    return int((targets == IGNORED).sum())


@dataclass(frozen=True, kw_only=True)
class Repeats:
    """Which samples have exactly equal inputs.

    Args:
        groups: Of every sample, the number of its inputs (N,).
        counted: Which outputs the loss reads (N, O); None: all.
    """

    groups: np.ndarray
    counted: np.ndarray | None

    @property
    def samples(self) -> int:
        """Return how many samples have the inputs of one before."""
        return len(self.groups) - len(np.unique(self.groups))

    def zeros(self, kind: str, outputs: int) -> int:
        """Return how many eigenvalues of a kernel are zero because rows are equal."""
        if self.counted is None:
            return self.samples * (outputs if kind in ("full", "classes") else 1)
        if kind not in ("full", "classes"):
            rows = np.column_stack([self.groups, self.counted])
            return len(rows) - len(np.unique(rows, axis=0))
        each = [self.counted[self.groups == one].sum(0) for one in np.unique(self.groups)]
        return int(sum(np.maximum(one - 1, 0).sum() for one in each))


def repeated(batches: list[Batch], counted: np.ndarray | None = None) -> Repeats:
    """Return which samples have exactly equal inputs.

    Args:
        batches: The samples.
        counted: Which outputs the loss reads (N, O); None: all.

    Cost: one reading of the inputs.
    """
    seen, groups = dict[bytes, int](), list[int]()
    for batch in batches:
        inputs = Batch(batch.args, batch.kwargs, None).tensors()
        rows = [t.detach().cpu() for t in inputs if t.dim() and len(t) == batch.samples]
        for i in range(batch.samples):
            digest = hashlib.sha256()
            for tensor in rows:
                digest.update(f"{tensor.dtype}{tuple(tensor.shape[1:])}".encode())
                digest.update(
                    tensor[i].contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
                )
            groups.append(seen.setdefault(digest.digest(), len(seen)))
    return Repeats(groups=np.array(groups), counted=counted)
