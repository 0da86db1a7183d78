"""How far a kernel points at the targets, with the doubt of the choice of samples."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from landscape.estimate import Estimate
from landscape.signals.intervals import jackknife

GROUPS = 20  # of samples, each left out once

Statistic = Callable[[np.ndarray], float]


def over_groups(statistic: Statistic, samples: int, method: str) -> Estimate:
    """Return a statistic of samples with the interval of the delete-one-group jackknife.

    Args:
        statistic: Of the places of the samples that are kept (k,).
        samples: N.
        method: How it is computed.

    Cost: the statistic, `GROUPS` + 1 times.
    """
    everything = np.arange(samples)
    groups = min(GROUPS, samples)
    without = [statistic(everything[everything % groups != g]) for g in range(groups)]
    kept = np.array(without) if samples > groups or samples > 2 else np.zeros(0)
    return jackknife(statistic(everything), kept, f"{method}; jackknife", samples=samples)


def alignment(kernel: np.ndarray, targets: np.ndarray, *, centred: bool) -> Estimate:
    """Return ⟨K, Y Yᵀ⟩ / (‖K‖ ‖Y Yᵀ‖), of both after centring where asked for.

    Centred it is the linear CKA of features and targets. The raw one is high for any kernel whose
    entries share a sign.

    Args:
        kernel: (N, N).
        targets: Y (N, O).
        centred: Whether the means over samples are taken off.

    Cost: O(N² O); leaving groups out costs nothing more.

    Source: Cristianini et al. 2001; Cortes, Mohri & Rostamizadeh 2012; Kornblith et al. 2019,
    arXiv 1905.00414.
    """
    samples = len(kernel)
    count = min(GROUPS, samples)
    group = np.arange(samples) % count
    member = np.eye(count)[group]  # (N, g)
    k = kernel.astype(np.float64, copy=False)
    if centred:  # so that little is left to centre when a group is left out
        k, targets = centre(k), targets - targets.mean(0)
    squares = member.T @ np.square(k) @ member
    inner = member.T @ (k * (targets @ targets.T)) @ member
    rows = k @ member  # Σ_j K_ij over every group

    def of(kept: np.ndarray) -> float:
        groups = np.unique(group[kept])
        square = squares[np.ix_(groups, groups)].sum()
        product = inner[np.ix_(groups, groups)].sum()
        y = targets[kept]
        if centred:
            mean, along, n = y.mean(0), rows[kept][:, groups].sum(1), len(kept)
            whole = along.sum()
            product += mean @ mean * whole - 2 * mean @ (y.T @ along)
            square += whole**2 / n**2 - 2 * (along @ along) / n
            y = y - mean
        lengths = math.sqrt(max(square, 0.0)) * float(np.linalg.norm(y.T @ y))
        return float(product) / lengths if lengths else 0.0

    name = "centred kernel alignment (CKA)" if centred else "kernel alignment, not centred"
    return over_groups(of, samples, name)


def alignments_by_output(kernels: np.ndarray, targets: np.ndarray) -> tuple[Estimate, ...]:
    """Return the centred alignment of every output's kernel with its own targets.

    Args:
        kernels: (O, N, N), or (N, N) for all outputs.
        targets: Y (N, O).
    """
    shared = kernels.ndim == 2
    whole = [kernels] * targets.shape[1] if shared else kernels
    return tuple(
        alignment(kernel, targets[:, c : c + 1], centred=True) for c, kernel in enumerate(whole)
    )


def target_power(vectors: np.ndarray, targets: np.ndarray) -> np.ndarray:  # (n,)
    """Return the share of ‖Y‖² in the first k eigenvectors, for every k.

    Args:
        vectors: Columns (n, n), of the largest eigenvalue first.
        targets: Y (n, O).
    """
    power = np.square(vectors.T @ targets).sum(1)
    total = float(np.square(targets).sum())
    return np.cumsum(power) / total if total else np.zeros(vectors.shape[1])


def distance(first: np.ndarray, second: np.ndarray, groups: int) -> Estimate:
    """Return S = 1 − ⟨K, K'⟩ / (‖K‖ ‖K'‖) of two kernels of the same samples.

    Args:
        first: (n, n), n a multiple of the outputs.
        second: (n, n).
        groups: Neighbouring rows that belong to one sample.

    Source: Fort et al. 2020, arXiv 2010.15110, eq. 5.
    """
    samples = len(first) // groups

    def of(kept: np.ndarray) -> float:
        rows = (kept[:, None] * groups + np.arange(groups)).ravel()
        one, other = first[np.ix_(rows, rows)], second[np.ix_(rows, rows)]
        return 1 - cosine(float((one * other).sum()), one, other)

    return over_groups(of, samples, "1 − cosine of both kernels")


def growth(first: np.ndarray, second: np.ndarray, groups: int) -> Estimate:
    """Return tr K' / tr K of two kernels of the same samples, as `distance` takes them."""
    own, other = (
        np.diag(one).reshape(-1, groups).sum(1, dtype=np.float64) for one in (first, second)
    )

    def of(kept: np.ndarray) -> float:
        return float(other[kept].sum()) / (float(own[kept].sum()) or math.nan)

    return over_groups(of, len(own), "tr K' / tr K of both kernels")


def centre(kernel: np.ndarray) -> np.ndarray:
    """Return H K H with H = I − 11ᵀ / N."""
    along = kernel.mean(0)
    return kernel - along - kernel.mean(1)[:, None] + along.mean()


def cosine(inner: float, first: np.ndarray, second: np.ndarray) -> float:
    """Return an inner product over both Frobenius norms; 0 where one is zero."""
    lengths = float(np.linalg.norm(first)) * float(np.linalg.norm(second))
    return inner / lengths if lengths else 0.0
