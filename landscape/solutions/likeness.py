"""How alike the outputs of two networks are, whatever turns, scales and shifts them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from landscape.estimate import Estimate
from landscape.signals.intervals import jackknife

GROUPS = 20  # of samples, left out in turn
METHOD = "linear CKA of the outputs, unbiased HSIC; jackknife over groups of samples"


def centred_kernel(outputs: np.ndarray) -> np.ndarray:  # (N, N)
    """Return the U-centred linear kernel of outputs (N, F), N ≥ 4.

    Its diagonal is zero and its rows add up to zero, so that the sum of the products of two of them
    is N (N − 3) times the unbiased estimate of HSIC.

    Source: Székely & Rizzo 2014, arXiv 1310.2926, equation 2.5; Song et al. 2012, JMLR 13.
    """
    rows = outputs - outputs.mean(0)  # no number changes: the kernel is centred in any case
    kernel = rows @ rows.T
    number = len(kernel)
    np.fill_diagonal(kernel, 0)
    sums = kernel.sum(1) / (number - 2)
    found = kernel - sums[:, None] - sums[None, :] + kernel.sum() / ((number - 1) * (number - 2))
    np.fill_diagonal(found, 0)
    return found


def similarity(a: np.ndarray, b: np.ndarray) -> float:
    """Return the cosine of two U-centred kernels: CKA; NaN where outputs do not vary.

    Source: Kornblith et al. 2019, arXiv 1905.00414, equation 4 (with the unbiased HSIC).
    """
    scale = math.sqrt(float((a * a).sum()) * float((b * b).sum()))
    return float((a * b).sum()) / scale if scale > 0 else math.nan


def cka(a: np.ndarray, b: np.ndarray) -> Estimate:
    """Return the CKA of two networks' outputs (N, F) on the same samples.

    Outputs, not features: every network has them, no layer has to be chosen, and permuted hidden
    units do not change them.

    Cost: twenty kernels of N × N, in float64.
    """
    whole = similarity(centred_kernel(a), centred_kernel(b))
    number = len(a)
    groups = min(GROUPS, number // 2)
    without = []
    for k in range(groups):
        kept = np.arange(number) % groups != k
        without.append(similarity(centred_kernel(a[kept]), centred_kernel(b[kept])))
    found = jackknife(whole, np.array(without), METHOD, samples=number)
    low, high = found.interval
    if not math.isfinite(whole):
        return replace(found, reason="the outputs of one network do not vary")
    ends = (max(low, -1.0), min(high, 1.0))
    ends = (min(ends[0], whole), max(ends[1], whole))
    return replace(found, interval=ends, sampling=ends)
