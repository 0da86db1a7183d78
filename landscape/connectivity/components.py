"""Components of a graph whose edges are pairs of networks found connected."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Edge = tuple[int, int]


def components(count: int, edges: Iterable[Edge]) -> tuple[tuple[int, ...], ...]:
    """Return the components of a graph, largest first, their members in order.

    Args:
        count: Of the vertices 0 … count − 1.
        edges: Pairs of vertices.
    """
    root = list(range(count))

    def find(one: int) -> int:
        while root[one] != one:
            root[one] = root[root[one]]
            one = root[one]
        return one

    for a, b in edges:
        root[max(find(a), find(b))] = min(find(a), find(b))
    members: dict[int, list[int]] = {}
    for one in range(count):
        members.setdefault(find(one), []).append(one)
    return tuple(tuple(part) for part in sorted(members.values(), key=lambda p: (-len(p), p)))


def cliques(parts: Sequence[Sequence[int]], edges: Iterable[Edge]) -> tuple[bool, ...]:
    """Return, for each component, whether all of its members are connected to one another.

    Connectedness on a path is not transitive: A to B and B to C say nothing of A to C.
    """
    known = {frozenset(edge) for edge in edges}
    return tuple(
        all(frozenset((a, b)) in known for i, a in enumerate(part) for b in part[:i])
        for part in parts
    )
