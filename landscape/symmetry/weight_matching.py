"""Weight matching: the permutation of one network's units that brings its weights to another's."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from landscape.symmetry.assignment import Search, terms_of
from landscape.symmetry.groups import Symmetry
from landscape.symmetry.matching import Matching
from landscape.symmetry.permutation import Permutation
from landscape.symmetry.terms import Term

Pairs = dict[str, tuple[Tensor, Tensor]]

ALIKE = 1e-6  # difference of objectives that says nothing


def match_weights(
    symmetry: Symmetry,
    a: Mapping[str, Tensor],
    b: Mapping[str, Tensor],
    *,
    generator: torch.Generator,
    restarts: int = 5,
    start: Permutation | None = None,
    only: Collection[str] | None = None,
) -> Matching:
    """Return the permutation π of B that makes Σ_w N_w cos(A_w, πB_w) / Σ_w N_w largest.

    The sum is over weight tensors w of N_w numbers; running statistics and zeros are left out.
    Coordinate descent: the best assignment of one group with all others fixed, heads by the
    assignments within them, until no group improves. The first start is `start`, the others are
    random.

    Args:
        symmetry: The groups.
        a: The tensors of the network that stays, as `Network.tensors` gives them.
        b: Those of the network that is permuted.
        generator: Of starts and orders, on the CPU.
        restarts: Starts at most; a perfect match, or the best one found twice, ends the search.
        start: Where the first one begins; None: the identity.
        only: Names of the groups that may move; None: all.

    Cost: for each group and sweep, products over the tensors it touches, and assignments O(n³).

    Source: Ainsworth, Hayase, Srinivasa 2023 (arXiv:2209.04836), algorithm 1. Differs from the
    source: tensors are scaled to one root mean square, so that none counts by its unit.
    """
    groups = tuple(g for g in symmetry.groups if only is None or g.name in only)
    scaled = _scaled(symmetry, a, b)
    search = Search(tuple(_terms(symmetry, scaled)), groups, _unmoved(symmetry, scaled))
    first = start or symmetry.identity()
    before = search.value(first.orders)
    best, values = (first.orders, 0), [before]
    attained: list[float] = []
    for number in range(restarts if groups else 0):
        begin = first.orders if number == 0 else _shuffled(symmetry, first, search, generator)
        orders, sweeps = search.descend(begin, generator)
        attained.append(search.value(orders))
        if attained[-1] > max(values):
            best = (orders, sweeps)
        values.append(attained[-1])
        if _settled(attained):
            break
    return Matching(
        permutation=Permutation(symmetry.groups, best[0]),
        objective=max(values),
        before=before,
        restarts=tuple(attained),
        sweeps=best[1],
    )


def _settled(attained: list[float]) -> bool:
    """Return whether further starts promise nothing: a perfect match, or the best found twice."""
    best = max(attained)
    return best >= 1 - ALIKE or sum(best - one <= ALIKE for one in attained) > 1


def _shuffled(
    symmetry: Symmetry, first: Permutation, search: Search, generator: torch.Generator
) -> Mapping[str, Tensor]:
    drawn = symmetry.random(generator).orders
    return {**first.orders, **{group.name: drawn[group.name] for group in search.groups}}


def _terms(symmetry: Symmetry, scaled: Pairs) -> list[Term]:
    return [
        term
        for name, (left, right) in scaled.items()
        for term in terms_of(symmetry.blocks[name], left, right)
    ]


def _unmoved(symmetry: Symmetry, scaled: Pairs) -> float:
    """Return the part of the sum that no permutation changes: of what is frozen in each tensor."""
    found: list[float] = []
    for name, (left, right) in scaled.items():
        products = left * right
        for block in symmetry.blocks[name]:
            block.view(products).zero_()
        found.append(float(products.sum(dtype=torch.float64)))
    return math.fsum(found)


def _scaled(symmetry: Symmetry, a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> Pairs:
    """Return the weights of both networks, so that their inner products add up to the objective."""
    pairs = {
        name: tuple(each[name].detach().contiguous() for each in (a, b))
        for name in symmetry.blocks
        if name not in symmetry.statistics
    }
    norms = {
        name: math.prod(float(t.double().norm()) for t in pair) for name, pair in pairs.items()
    }
    total = sum(pairs[name][0].numel() for name, norm in norms.items() if norm > 0)
    return {
        name: (left * (left.numel() / (total * norms[name])), right)
        for name, (left, right) in pairs.items()
        if norms[name] > 0
    }
