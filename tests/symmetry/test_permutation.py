"""Permutations against explicit loops over units."""

from __future__ import annotations

import torch
from torch import Tensor

from landscape.symmetry.groups import infer
from landscape.symmetry.permutation import Block, Group, Permutation, identity, random
from tests.cases import normal
from tests.oracles import generator
from tests.symmetry.networks import CASES

HEADS = Group(name="h", size=3, kind="heads", outers=(), places=(), ties=())
TIMES = Group(name="g", size=2, kind="inner", outers=("h",), places=(), ties=())
INNER = Group(name="i", size=4, kind="inner", outers=("h", "g"), places=(), ties=())
GROUPS = (INNER, HEADS, TIMES)
BLOCK = Block(
    offset=1,
    sizes=(3, 2, 4, 5),
    strides=(42, 21, 5, 1),
    groups=("h", "g", "i", None),
    beside=((), (0,), (0, 1), ()),
)


def moved_by_loops(piece: Tensor, order: Permutation) -> Tensor:
    found = torch.empty_like(piece)
    for h in range(3):
        for g in range(2):
            for i in range(4):
                source = order.orders["h"][h]
                time, unit = order.orders["g"][h, g], order.orders["i"][h, g, i]
                found[h, g, i] = piece[source, time, unit]
    return found


def test_nested_groups_are_applied_from_the_outside_in() -> None:
    order = random(GROUPS, generator(1))
    whole = normal(1, 130, seed=2)[0]
    piece = BLOCK.view(whole)
    assert piece[1, 1, 2, 3] == whole[1 + 42 + 21 + 10 + 3]
    moved = BLOCK.permuted(piece, order.orders)
    assert torch.equal(moved, moved_by_loops(piece, order))
    back = BLOCK.permuted(moved, order.inverse().orders)
    assert torch.equal(back, piece)


def test_every_permutation_is_drawn_alike() -> None:
    three = Group(name="a", size=3, kind="plain", outers=(), places=(), ties=())
    draws = generator(3)
    found = [tuple(random((three,), draws).orders["a"].tolist()) for _ in range(3000)]
    shares = [found.count(each) / 3000 for each in set(found)]
    assert len(shares) == 6
    # binomial: standard error 0.0068; five of them
    assert all(abs(share - 1 / 6) < 0.035 for share in shares)


def test_recovered_counts_units_by_where_they_stand() -> None:
    order = identity(GROUPS)
    swapped = {name: each.clone() for name, each in order.orders.items()}
    swapped["i"][0, 1] = torch.tensor([1, 0, 2, 3])
    other = Permutation(GROUPS, swapped)
    assert order.recovered(order) == 1
    assert order.recovered(other) == (3 + 6 + 22) / (3 + 6 + 24)
    live = {name: torch.ones_like(each, dtype=torch.bool) for name, each in swapped.items()}
    live["i"][0, 1] = False
    assert order.recovered(other, live) == 1
    swapped["h"] = torch.tensor([0, 2, 1])  # units within misplaced heads are misplaced
    assert order.recovered(Permutation(GROUPS, swapped)) == (1 + 2 + 6) / (3 + 6 + 24)


def test_identity_moves_nothing_and_other_tensors_stay() -> None:
    subject = CASES["conv, flatten, linear"].subject()
    symmetry = infer(subject)
    tensors = subject.network.tensors(subject.point)
    same = symmetry.apply(symmetry.identity(), tensors)
    assert same.keys() == tensors.keys()
    assert all(torch.equal(same[name], tensors[name]) for name in tensors)
    assert same["1.num_batches_tracked"] is tensors["1.num_batches_tracked"]
