"""Linearisations of micro-batches that are kept, and the memory they take."""

from __future__ import annotations

from dataclasses import dataclass, field

from landscape.operators.local import Rows


@dataclass
class Kept:
    """Products with the share of a micro-batch, by place, way and block size.

    Args:
        limit: Bytes that they may take.
    """

    limit: int
    used: int = 0
    functions: dict[tuple[int, str, int], tuple[Rows, int]] = field(default_factory=dict)
    sizes: dict[tuple[str, int], int] = field(default_factory=dict)

    def get(self, place: int, way: str, size: int) -> Rows | None:
        """Return what is kept for a micro-batch; None where nothing is."""
        found = self.functions.get((place, way, _class(way, size)))
        return found[0] if found is not None else None

    def room(self, way: str, size: int, guess: int) -> bool:
        """Return whether one more would fit; the guess holds until one was kept."""
        return self.used + self.sizes.get((way, size), guess) <= self.limit

    def put(self, place: int, way: str, size: int, function: Rows, held: int) -> None:
        """Keep one that holds so many bytes, if it fits."""
        self.sizes[way, size] = held
        if self.used + held <= self.limit:
            self.functions[place, way, _class(way, size)] = function, held
            self.used += held

    def drop_others(self, size: int, best: str) -> None:
        """Let go of recordings for a block size that is computed in another way."""
        self._drop([key for key in self.functions if key[2] == size and key[1] != best])

    def drop(self, way: str) -> None:
        """Let go of everything of a way."""
        self._drop([key for key in self.functions if key[1] == way])

    def _drop(self, keys: list[tuple[int, str, int]]) -> None:
        for key in keys:
            self.used -= self.functions.pop(key)[1]

    def clear(self) -> None:
        """Let go of everything."""
        self.functions.clear()
        self.used = 0


def _class(way: str, size: int) -> int:
    """Return the block size that something kept is for; a graph serves every size."""
    return 0 if way == "cached" else size
