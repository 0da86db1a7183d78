"""How many eigenvalues stand apart from the rest, and whether the classes explain it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from landscape.subject.outputs import logits_of
from landscape.subject.subject import Subject

CLEAR_GAP = 1.5  # ratio of neighbours from which on a gap in the top eigenvalues is called clear


@dataclass(frozen=True, kw_only=True)
class Outliers:
    """How many top eigenvalues stand apart from the rest.

    The count is where the largest ratio of neighbours lies; zero when no gap is clear.

    Args:
        count: Eigenvalues above the gap.
        gap_ratio: The ratio across the largest gap, clear or not.
        classes: C, where the loss has classes and enough eigenvalues were found to compare.
    """

    count: int
    gap_ratio: float
    classes: int | None = None

    @property
    def comparison(self) -> str:
        """Return how the count compares with the number of classes; empty when unknown."""
        if self.classes is None:
            return ""
        if not self.count:
            return f"no clear gap; C − 1 would be {self.classes - 1}"
        names = {self.classes - 1: "equal to C − 1", self.classes: "equal to C"}
        return names.get(self.count, f"neither C − 1 = {self.classes - 1} nor C = {self.classes}")


def count_outliers(values: np.ndarray, classes: int | None = None) -> Outliers:
    """Return the number of top eigenvalues above the largest gap.

    j = argmax λⱼ/λⱼ₊₁ over positive neighbours, and j ≤ 2C where the number of classes is known; a
    ratio below 1.5 is no clear gap. How many there are depends on the scale of the inputs and on
    the stage of training, not on the classes alone.

    Args:
        values: The largest eigenvalues (k,), descending.
        classes: Number of classes C.

    Source: Sagun et al. 2017, arXiv 1706.04454; Papyan 2019, arXiv 1901.08244.
    """
    positive = values[values > 0]
    comparable = classes if classes is not None and len(values) > classes else None
    if len(positive) < 2:
        return Outliers(count=0, gap_ratio=1.0, classes=comparable)
    ratios = positive[:-1] / positive[1:]
    if comparable is not None:
        ratios = ratios[: 2 * comparable]
    largest = int(np.argmax(ratios))
    ratio = float(ratios[largest])
    count = largest + 1 if ratio >= CLEAR_GAP else 0
    return Outliers(count=count, gap_ratio=ratio, classes=comparable)


def classes_of(subject: Subject) -> int | None:
    """Return the number of classes that a cross-entropy distinguishes; None for other losses.

    Cost: one forward pass over two samples.
    """
    if subject.criterion.name != "ce":
        return None
    batch = next(iter(subject.device_batches())).head(2)
    with subject.undisturbed(0), torch.no_grad():
        logits = logits_of(subject.outputs(subject.point, batch))
    last = logits.dim() > 2 and logits.shape[:-1] == batch.targets.shape
    return int(logits.shape[-1] if last else logits.shape[1])
