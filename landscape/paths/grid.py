"""Where on a path to look: a coarse grid, refined where the maximum may hide."""

from __future__ import annotations

import numpy as np

COARSE = tuple(k / 10 for k in range(11))  # 0, ½ and 1 are among them exactly
COUNT = 25
SAFETY = 2  # on second differences
FINEST = 1 / 320  # below which a gap is not halved again


def refinement(t: np.ndarray, values: np.ndarray, *, room: int) -> np.ndarray:  # (≤ room,)
    """Return points to add: the middles of gaps that may hide the maximum or hold a sharp bend.

    Of each quantity, the two gaps that may rise highest (by the bound of `hidden`; the wider where
    they are equal), and the two beside the largest |second difference| h²|f''|. Call it again with
    what was found there, until the room is used up or nothing is returned.

    Args:
        t: Points (T,), ascending, T ≥ 3.
        values: What is looked at there, above its baseline (T,); more rows (r, T) are more such
            quantities.
        room: How many points may be added.
    """
    gaps = np.diff(t)
    wanted: dict[int, None] = {}
    for row in _told_apart(np.atleast_2d(values)):
        peaks = np.where(gaps > FINEST, _peaks(t, row), -np.inf)
        highest = np.lexsort((-gaps, -peaks))[:2].tolist()
        bends = np.abs(_second(t, row)) * np.minimum(gaps[1:], gaps[:-1]) ** 2
        sharpest = int(np.argmax(bends))
        wanted |= dict.fromkeys([*highest, sharpest, sharpest + 1])
    chosen = [gap for gap in wanted if gaps[gap] > FINEST][:room]
    return np.sort(t[chosen] + gaps[chosen] / 2)


def hidden(t: np.ndarray, values: np.ndarray) -> float:
    """Return how much higher than on the grid a path may rise between its points, as an estimate.

    Between neighbours f rises above the chord by at most h²/8 · max|f''|. Twice the larger second
    difference at both ends is taken for the maximum of |f''|, as differences flatten a peak. It is
    no certificate: a bump that no point touches leaves no trace.

    Args:
        t: Points (T,), ascending.
        values: What is looked at there (T,).

    Returns:
        At least zero; zero for fewer than three points.
    """
    if len(t) < 3 or not np.isfinite(values).all():
        return 0.0
    return max(0.0, float(np.max(_peaks(t, values)) - np.max(values)))


def _peaks(t: np.ndarray, values: np.ndarray) -> np.ndarray:  # (T - 1,)
    """Return how high f may rise in every gap: the maximum of the chord and its bow.

    That is max_s (1 − s) f(left) + s f(right) + 4 s (1 − s) bow.
    """
    inner = np.abs(_second(t, values))
    curvature = np.concatenate([inner[:1], inner, inner[-1:]])
    bow = SAFETY * np.diff(t) ** 2 / 8 * np.maximum(curvature[1:], curvature[:-1])
    slope = np.diff(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        s = np.where(bow > 0, np.clip(0.5 + slope / (8 * bow), 0, 1), slope > 0)
    return values[:-1] + s * slope + 4 * s * (1 - s) * bow


def _second(t: np.ndarray, values: np.ndarray) -> np.ndarray:  # (T - 2,)
    slopes = np.diff(values) / np.diff(t)
    return 2 * np.diff(slopes) / (t[2:] - t[:-2])


def _told_apart(rows: np.ndarray) -> np.ndarray:
    """Return the values with what is not finite as high as the highest."""
    finite = rows[np.isfinite(rows)]
    return np.nan_to_num(rows, nan=finite.max(initial=0.0), posinf=finite.max(initial=0.0))
