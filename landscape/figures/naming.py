"""Where the names of places are written so that none covers another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Box = tuple[float, float, float, float]  # left, bottom, right, top
Offset = tuple[float, float]  # of the middle of a name from its place

LETTER = 0.6  # mean width of a letter, of its size
PAD = 2.0  # around a name
DOT = 4.0  # half the width of the mark of a place


def offsets(
    places: np.ndarray, names: Sequence[str], *, size: float, room: Box | None = None
) -> list[Offset | None]:
    """Return where each name goes, None where all room beside its place is taken.

    The last place comes first: it is the end of a run. Names go above, then below, to the right and
    to the left of their places, near before far.

    Args:
        places: Of the marks, (k, 2), in points.
        names: Of the places.
        size: Of the letters, in points.
        room: What no name leaves; None: there is room all around.
    """
    taken = [_box(x, y, 2 * DOT, 2 * DOT) for x, y in places if np.isfinite([x, y]).all()]
    found: list[Offset | None] = [None] * len(names)
    for number in reversed(range(len(names))):
        x, y = places[number]
        if not np.isfinite([x, y]).all():
            continue
        wide, high = LETTER * size * len(names[number]) + 2 * PAD, size + 2 * PAD
        for right, up in _around(wide, high):
            box = _box(x + right, y + up, wide, high)
            if _lies_in(box, room) and not any(_meet(box, other) for other in taken):
                taken.append(box)
                found[number] = (right, up)
                break
    return found


def _around(wide: float, high: float) -> list[Offset]:
    """Return offsets around a mark, near before far."""
    tried: list[Offset] = []
    for away in (0.0, high, 2 * high):
        up, side = DOT + high / 2 + 1 + away, DOT + wide / 2 + 1
        tried += [(0, up), (0, -up), (side, away), (-side, away), (side, -away), (-side, -away)]
    return tried


def _box(x: float, y: float, wide: float, high: float) -> Box:
    return x - wide / 2, y - high / 2, x + wide / 2, y + high / 2


def _lies_in(box: Box, room: Box | None) -> bool:
    if room is None:
        return True
    return room[0] <= box[0] and room[1] <= box[1] and box[2] <= room[2] and box[3] <= room[3]


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
