"""How many weights are kept: exact integers, over all layers or layer by layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from landscape.errors import SettingError


def kept_of(total: int, density: float) -> int:
    """Return how many of `total` weights a density keeps: the nearest whole number, at least one.

    Raises:
        SettingError: The density is not in (0, 1].
    """
    if not 0 < density <= 1:
        raise SettingError(
            f"a density of {density}",
            where="density",
            why="it is the share of the prunable weights that is kept",
            hint="give a number above 0 and at most 1, such as 0.1",
        )
    return max(1, round(density * total))


def in_proportion(sizes: Sequence[int], shares: np.ndarray, total: int) -> list[int]:
    """Return whole numbers that sum to `total`, as near to their shares as they can be.

    No layer gets more than it has; what one cannot take goes to the others, in proportion. Rounded
    by largest remainders, ties to the earlier layer.

    Args:
        sizes: Weights in each layer.
        shares: Of each, not negative, not normalised.
        total: At most the sum of the sizes.
    """
    size = np.asarray(sizes, dtype=np.float64)
    want, full = np.zeros(len(size)), np.zeros(len(size), dtype=bool)
    while True:
        free = ~full
        left = total - size[full].sum()
        weight = np.where(free, shares, 0.0)
        scale = weight.sum()
        want = np.where(full, size, left * weight / scale if scale > 0 else 0.0)
        over = free & (want > size)
        if not over.any():
            break
        full |= over
    if not np.isclose(want.sum(), total):  # shares of zero: the rest goes where there is room
        room = size - want
        want = want + (total - want.sum()) * room / room.sum()
    floor = np.floor(want + 1e-9).astype(int)
    order = np.argsort(-(want - floor), kind="stable")
    missing = total - int(floor.sum())
    for place in [one for one in order if floor[one] < sizes[one]][:missing]:
        floor[place] += 1
    return [int(one) for one in floor]


def even_shares(shapes: Sequence[tuple[int, ...]]) -> np.ndarray:
    """Return shares that give every layer the same density."""
    return np.array([float(np.prod(shape)) for shape in shapes])


def kernel_shares(shapes: Sequence[tuple[int, ...]]) -> np.ndarray:
    """Return the Erdős–Rényi kernel shares: density ∝ Σ extents / Π extents.

    Source: Mocanu et al. 2018; Evci et al. 2020, arXiv 1911.11134, §3.
    Differs from the source: what full layers cannot take goes to the others, so that the total is
    met (`in_proportion`).
    """
    return np.array([float(sum(shape)) for shape in shapes])


def schedule(density: float, rounds: int) -> list[float]:
    """Return densities ρ^(k/n), k = 1 … n: every round keeps the same share of what is left.

    Source: Tanaka et al. 2020, arXiv 2006.05467, algorithm 1.
    """
    return [density ** (k / rounds) for k in range(1, rounds + 1)]
