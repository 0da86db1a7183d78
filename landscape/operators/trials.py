"""Which way of computing products is the fastest, found out on the products that are asked for."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

CLOSE = 1.5  # a first time up to so many times the best may be the fault of something else
LAPS = 2  # after which it is believed


class Trials:
    """Timings of candidates, of which the first costs nothing to set up.

    The others are tried once the first has taken as long as setting them up may take, so that short
    runs pay for nothing and long ones lose at most as much again. One that is hardly slower than
    the best is timed again before it is given up.

    Args:
        candidates: Names, the cheapest to set up first.
        worth: Seconds that setting up another may take.
    """

    def __init__(self, candidates: Sequence[str], *, worth: float) -> None:
        self.candidates = list(candidates)
        self.reasons: dict[str, str] = {}
        self._worth = worth
        self._spent = 0.0
        self._seconds: dict[str, float] = {}
        self._laps: Counter[str] = Counter()

    @property
    def settled(self) -> bool:
        """Return whether every candidate has been timed, or only one is left."""
        return len(self.candidates) <= 1 or all(map(self._judged, self.candidates))

    @property
    def best(self) -> str:
        """Return the fastest so far; the first before any was timed."""
        return min(self.candidates, key=lambda one: self._seconds.get(one, math.inf))

    @property
    def seconds(self) -> dict[str, float]:
        """Return the shortest time of every candidate that was timed."""
        return dict(self._seconds)

    def next(self) -> str:
        """Return the candidate to use now."""
        if self.settled:
            return self.best
        first, *others = self.candidates
        if first not in self._seconds or self._spent < self._worth:
            return first
        return next(one for one in others if not self._judged(one))

    def report(self, name: str, seconds: float) -> None:
        """Take a time in; the first of a candidate includes its set-up and is not compared."""
        self._spent += seconds
        if self._laps[name]:
            self._seconds[name] = min(seconds, self._seconds.get(name, math.inf))
        self._laps[name] += 1

    def drop(self, name: str, reason: str) -> None:
        """Leave a candidate out, for a reason."""
        self.reasons[name] = reason
        self.candidates.remove(name)

    def add(self, name: str) -> None:
        """Take another candidate in."""
        self.candidates.append(name)

    def _judged(self, name: str) -> bool:
        if name not in self._seconds:
            return False
        slower = self._seconds[name] / self._seconds[self.best]
        return name == self.candidates[0] or not 1 < slower < CLOSE or self._laps[name] > LAPS
