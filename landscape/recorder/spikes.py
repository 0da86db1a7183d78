"""Steps whose gradient or loss stands out from those just before."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from landscape.recorder.history import History
from landscape.recorder.verdict import Verdict, counted

WINDOW = 50  # steps before, that a spike is judged by
LEAST_STEPS = 20  # before anything is judged
SPIKE = 6.0  # robust standard deviations
SPIKE_RATIO = 3.0  # to the median, at least


def spikes(history: History) -> list[Verdict]:
    """Return steps whose gradient or loss stands out from those just before."""
    found = []
    series = {"gradient norm": history.total_before, "loss": history.loss}
    for name, values in series.items():
        rows = outstanding(values, history.begins)
        if not len(rows):
            continue
        worst = rows[int(np.argmax(values[rows]))]
        begun = max((row for row in history.begins if row <= worst), default=0)
        usual = float(np.nanmedian(values[max(begun, worst - WINDOW) : worst]))
        shown = ", ".join(str(int(history.steps[row])) for row in rows[:5])
        shown = f"step{'s' * (len(rows) > 1)} {shown}"
        more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""
        found.append(
            Verdict(
                kind=f"spike of the {name}",
                severity="warning",
                sentence=f"The {name} has {counted(len(rows), 'spike')}; the highest, at step "
                f"{int(history.steps[worst])}, is {values[worst] / usual:.3g} times the median "
                "before.",
                evidence=f"At {shown}{more}: more than {SPIKE:g} robust "
                f"standard deviations (median and MAD of the logarithm over {WINDOW} steps) and "
                f"{SPIKE_RATIO:g} times the median.",
                advice="Look at these batches; clip the gradient, or lower the learning rate.",
                step=int(history.steps[worst]),
            )
        )
    return found


def outstanding(values: np.ndarray, begins: tuple[int, ...] = ()) -> np.ndarray:
    """Return the rows (of t) that stand out above the steps before, by median and MAD.

    A value x is a spike when log x exceeds the median m of the logarithms of the last 50 finite
    positive values by 6 × 1.4826 MAD and by log 3. Values within a spike do not move the median.

    Args:
        values: A series (t,).
        begins: Rows at which training begins anew: what comes before does not count there.
    """
    edges = (0, *begins, len(values))
    parts = [first + _outstanding(values[first:end]) for first, end in pairwise(edges)]
    return np.concatenate(parts)


def _outstanding(values: np.ndarray) -> np.ndarray:
    known = np.flatnonzero(np.isfinite(values) & (values > 0))
    if len(known) <= LEAST_STEPS:
        return known[:0]
    logs = np.log(values[known])
    rows = []
    for place in range(LEAST_STEPS, len(known)):
        before = logs[max(0, place - WINDOW) : place]
        excess = logs[place] - np.median(before)
        if excess > math.log(SPIKE_RATIO):
            spread = 1.4826 * float(np.median(np.abs(before - np.median(before))))
            if excess > SPIKE * spread:
                rows.append(known[place])
    return np.array(rows, dtype=np.int64)
