"""Labels: what is tied, cut and reshaped keeps its length, and loses freedom where it must."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor

from landscape.symmetry.axes import (
    Atom,
    Axes,
    Label,
    cut,
    flat,
    freeze,
    joined,
    merge,
    root,
    size_of,
    unify,
)
from landscape.symmetry.dependence import outers
from landscape.symmetry.reshaping import reshaped
from landscape.symmetry.segments import movable_share, segments


def atom(size: int) -> Label:
    return (Atom(size),)


def sizes(label: Label) -> list[int]:
    return [root(each).size for each in flat(label)]


def frozen(label: Label) -> bool:
    return all(root(each).frozen for each in flat(label))


def test_a_product_is_the_same_as_an_atom_of_its_size() -> None:
    whole, (heads,), (inner,) = atom(12), atom(3), atom(4)
    unify(whole, (heads, inner))
    assert flat(whole) == [root(heads), root(inner)]
    finer = (Atom(3), Atom(2), Atom(2))
    unify(whole, finer)
    assert sizes((inner,)) == [2, 2]
    assert not frozen(whole)


def test_factors_that_do_not_fit_are_frozen() -> None:
    one, other = (Atom(2), Atom(3)), (Atom(3), Atom(2))
    unify(one, other)
    assert frozen(one)
    assert frozen(other)


def test_frozen_spreads_to_what_is_the_same() -> None:
    whole, other = atom(6), atom(6)
    reshaped([whole], [2, 3])
    freeze(other, "output")
    unify(whole, other)
    assert frozen(whole)
    assert {root(each).reason for each in flat(whole)} == {"output"}


@pytest.mark.parametrize("shape", [(4, 6), (2, 2, 6), (8, 3), (24,), (4, 3, 2)])
def test_reshaping_there_and_back_is_nothing(shape: tuple[int, ...]) -> None:
    axes = (atom(4), atom(6))
    there = reshaped(axes, shape)
    assert tuple(map(size_of, there)) == shape
    back = reshaped(there, (4, 6))
    assert [flat(label) for label in back] == [flat(label) for label in axes]
    assert not any(map(frozen, back))


def test_reshaping_across_factors_freezes_those_alone() -> None:
    mixed = (atom(4), atom(6), atom(5))
    found = reshaped(mixed, (6, 4, 5))
    assert [frozen(label) for label in found] == [True, True, False]
    assert [frozen(label) for label in mixed] == [True, True, False]


def test_a_concatenation_cut_elsewhere_has_finer_parts() -> None:
    one, two = atom(6), atom(3)
    first, second = cut(joined([one, two]), [4, 5])
    assert (size_of(first), size_of(second)) == (4, 5)
    assert one[0].parts is not None
    assert [size_of(part) for part in one[0].parts] == [4, 2]
    assert [each.dimensions[0].size for each in segments((second,))] == [2, 3]
    assert not frozen(two)


def test_a_product_is_cut_between_outer_units_only() -> None:
    first, second = cut((Atom(4), Atom(3)), [3, 9])
    assert (sizes(first), sizes(second)) == ([3], [3, 3])
    assert not frozen(first)
    assert all(map(frozen, cut((Atom(4), Atom(3)), [4, 8])))


def test_concatenations_of_different_parts_meet_in_their_refinement() -> None:
    one, other = joined([atom(4), atom(2)]), joined([atom(3), atom(3)])
    unify(one, other)
    for label in (one, other):
        found = [[each.size for each in segment.dimensions] for segment in segments((label,))]
        assert found == [[3], [], [2]]  # a unit by itself cannot move


def test_segments_cover_a_tensor_once() -> None:
    heads, inner = Atom(2), Atom(3)
    axes = (joined([(heads, inner), atom(4)]), (heads,))
    covered = [[0] * 2 for _ in range(10)]
    for segment in segments(axes):
        row, column = segment.offsets
        steps = [0]
        for each in segment.dimensions:
            if each.axis == 0:
                steps = [s + each.stride * i for s in steps for i in range(each.size)]
        for step in steps:
            for i in range(2):
                covered[row + step][column + i] += 1
    assert covered == [[1, 1]] * 10


def covered(axes: Axes) -> Tensor:
    """How often each number of a tensor is in one of its pieces."""
    counts = torch.zeros([size_of(label) for label in axes])
    for segment in segments(axes):
        for place in product(*(range(each.size) for each in segment.dimensions)):
            at = list(segment.offsets)
            for each, step in zip(segment.dimensions, place, strict=True):
                at[each.axis] += each.stride * step
            counts[tuple(at)] += 1
    return counts


def copied(index: Atom, inner: Atom) -> list[Atom]:
    inner.copies = (index, [Atom(inner.size) for _ in range(index.size)])
    return inner.copies[1]


def test_pieces_cover_a_tensor_once_where_some_parts_alone_have_copies() -> None:
    index, inner, other, plain = Atom(2, "select"), Atom(3), Atom(4), Atom(3)
    copied(index, inner)
    axes = (joined([(plain,), (index, inner)]), (other,))
    assert torch.equal(covered(axes), torch.ones(9, 4))
    assert len(list(segments(axes))) == 3


def test_copies_of_copies() -> None:
    layer, head, inner, other = Atom(2, "select"), Atom(3), Atom(4), Atom(5)
    heads, inners = copied(layer, head), copied(layer, inner)
    for one, within_one in zip(heads, inners, strict=True):
        copied(one, within_one)
    axes = ((layer,), (head,), (inner,), (other,))
    assert torch.equal(covered(axes), torch.ones(2, 3, 4, 5))
    assert len({each.dimensions[0].atom for each in segments(axes)}) == 6


def test_copies_whose_index_is_not_there_are_no_pieces() -> None:
    index, inner = Atom(2, "select"), Atom(3)
    copied(index, inner)
    with pytest.raises(ValueError, match="copies without"):
        list(segments(((inner,),)))


def test_share_of_numbers_that_move() -> None:
    free, still = atom(4), (Atom(6, "input"),)
    assert movable_share((free, still)) == 1
    assert movable_share((joined([free, still]), still)) == pytest.approx(0.4)


def test_inner_permutations_depend_on_the_outer_index_only_where_it_always_stands() -> None:
    heads, inner, other = Atom(2), Atom(3), Atom(5)
    tensor = ((heads, inner), (other,))
    assert outers([tensor], [tensor])[inner] == (heads,)
    assert outers([tensor], [tensor, ((inner,),)])[inner] == ()
    assert outers([tensor], [tensor, ((heads,), (inner,))])[inner] == (heads,)
    between = ((heads,), (inner,), (heads,))  # which head is meant is not said
    assert outers([tensor], [tensor, between])[inner] == ()
    part = (joined([(heads,), (other,)]), (inner,))  # beside the other part there is no head
    assert outers([tensor], [tensor, part])[inner] == ()


def test_copies_for_each_index_are_one_again_once_they_meet_a_whole() -> None:
    index, inner = Atom(2, "select"), Atom(3)
    inner.copies = (index, [Atom(3), Atom(3)])
    one, two = inner.copies[1]
    merge(inner, Atom(3))
    assert root(one) is root(two) is root(inner)
