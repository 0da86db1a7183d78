"""Names of places, held against one another."""

from __future__ import annotations

import numpy as np
import pytest

from landscape.figures.naming import DOT, LETTER, offsets

SIZE = 8.0
NAMES = [f"epoch{number:02d}.pt" for number in range(9)]


def boxes(places: np.ndarray, found) -> list[np.ndarray]:
    half = np.array([LETTER * SIZE * len(NAMES[0]) / 2, SIZE / 2])
    return [
        np.concatenate((place + offset - half, place + offset + half))
        for place, offset in zip(places, found, strict=True)
        if offset is not None
    ]


def overlap(one: np.ndarray, other: np.ndarray) -> bool:
    return bool((one[:2] < other[2:]).all() and (other[:2] < one[2:]).all())


@pytest.mark.parametrize("spread", [0.0, 4.0, 20.0, 200.0])
def test_no_name_covers_another_or_a_place(spread):
    places = spread * np.random.default_rng(0).standard_normal((9, 2))
    found = offsets(places, NAMES, size=SIZE)
    written = boxes(places, found)
    assert found[-1] is not None, "the last is named first"
    assert len(written) >= (9 if spread == 200 else 3)
    for number, one in enumerate(written):
        assert not any(overlap(one, other) for other in written[:number])
        assert not any((abs((one[:2] + one[2:]) / 2 - at) < DOT / 2).all() for at in places)


def test_names_stay_in_their_room_and_unseen_places_have_none():
    places = np.array([[0.0, 0.0], [100.0, 50.0], [np.nan, 1.0]])
    found = offsets(places, NAMES[:3], size=SIZE, room=(0, 0, 100, 50))
    assert found[2] is None
    for box in boxes(places, found):
        assert (box >= 0).all()
        assert (box <= [100, 50, 100, 50]).all()
    alone = offsets(places[:1], NAMES[:1], size=SIZE)
    assert alone[0] is not None
    assert alone[0][0] == 0
    assert alone[0][1] > 0, "above, where there is room"
