"""Defaults and bounds of the settings of a coordinate check; it imports no torch."""

from __future__ import annotations

from collections.abc import Sequence

from landscape.errors import SettingError

WIDTHS = (128, 256, 512, 1024, 2048)
STEPS = 4
SEEDS = 8
SAMPLES = 128
TOLERANCE = 0.25
LEAST = {"steps": 1, "seeds": 2, "samples": 1, "seed": 0}
LEAST_WIDTHS = 3


def checked_widths(widths: Sequence[int]) -> tuple[int, ...]:
    """Return the widths in increasing order.

    Raises:
        SettingError: They are too few for a slope and its doubt, or one is no width.
    """
    found = tuple(sorted(int(one) for one in widths))
    if len(set(found)) < LEAST_WIDTHS or len(set(found)) < len(found) or found[0] < 1:
        raise SettingError(
            f"widths {', '.join(map(str, widths))}",
            where="Coordcheck.widths",
            why=f"a slope and its doubt need at least {LEAST_WIDTHS} different positive widths",
            hint=f"the default is --widths {','.join(map(str, WIDTHS))}",
        )
    return found
