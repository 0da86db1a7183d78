"""Components against networkx's definition: reachability, by powers of the adjacency matrix."""

from __future__ import annotations

import numpy as np
import pytest

from landscape.connectivity.components import cliques, components


def test_a_chain_and_a_point():
    assert components(4, [(0, 2), (3, 2)]) == ((0, 2, 3), (1,))
    assert components(3, []) == ((0,), (1,), (2,))
    assert components(0, []) == ()


@pytest.mark.parametrize("seed", range(20))
def test_members_are_those_that_can_be_reached(seed):
    generator = np.random.default_rng(seed)
    count = int(generator.integers(1, 12))
    chosen = np.triu(generator.random((count, count)) < 0.15, 1)
    edges = [(int(a), int(b)) for a, b in np.argwhere(chosen)]
    adjacency = (chosen | chosen.T | np.eye(count, dtype=bool)).astype(int)
    reached = np.linalg.matrix_power(adjacency, count) > 0
    parts = components(count, generator.permutation(edges).tolist() if edges else [])
    assert sorted(one for part in parts for one in part) == list(range(count))
    for part in parts:
        for one in part:
            assert tuple(np.flatnonzero(reached[one])) == part
    assert [len(part) for part in parts] == sorted(map(len, parts), reverse=True)


def test_a_chain_is_no_clique():
    edges = [(0, 1), (2, 1), (3, 4)]
    parts = components(6, edges)
    assert parts == ((0, 1, 2), (3, 4), (5,))
    assert cliques(parts, edges) == (False, True, True)
    assert cliques(parts, [*edges, (0, 2)])[0]
