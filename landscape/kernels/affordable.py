"""How many samples a budget of time lasts for, from the time that kernels of a few take."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np

from landscape import budget
from landscape.kernels.asked import Asked
from landscape.kernels.measuring import measured
from landscape.subject.subject import Subject

FIRST = 8  # samples of the first trial
GROWTH = 2  # from trial to trial
PART = 0.6  # of the time left


def affordable_samples(
    subject: Subject, asked: Asked, before: np.ndarray | None
) -> tuple[int, str]:
    """Return of how many samples a kernel is formed, and why of fewer than asked for.

    The time is taken to grow with the square of the samples, which is the most that it does. In a
    series all checkpoints have as many as the first, so that their kernels can be compared.

    Args:
        subject: With one checkpoint.
        asked: The settings.
        before: Kernels of earlier checkpoints (2, ..., n, n).

    Returns:
        No reason where the number is that asked for, as always without a bound on time.

    Raises:
        BudgetError: The budget is spent.

    Cost: kernels of 8, 16, 32 ... samples, together at most a third of the one that is formed, or
    as many times the cost that does not depend on their number.
    """
    whole = min(asked.samples, subject.batches.samples if subject.batches is not None else 0)
    if budget.left_seconds() is None:
        return asked.samples, ""
    budget.require("a kernel was formed")
    if before is not None and asked.kind != "full":
        return _told(min(before.shape[-1], whole), whole)
    tried = FIRST
    while tried < whole:
        began = time.perf_counter()
        measured(subject, replace(asked, samples=tried), None)
        taken = time.perf_counter() - began
        count = int(tried * math.sqrt(PART * (budget.left_seconds() or 0.0) / taken))
        if count >= whole or count < GROWTH * tried:
            return _told(min(max(count, tried), whole), whole)
        tried *= GROWTH
    return _told(whole, whole)


def _told(count: int, whole: int) -> tuple[int, str]:
    if count == whole:
        return count, ""
    return count, f"The budget of {budget.told()} lasted for {count} of {whole} samples."
