"""The permutation that makes given similarities of units largest: descent over assignments."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from landscape.symmetry.groups import Symmetry
from landscape.symmetry.permutation import Block, Group, Orders, Permutation
from landscape.symmetry.terms import Term, contracted, paired

MOST_SWEEPS = 100
ROUNDS = 2  # over the inner groups of a pair of heads, where they depend on one another


@dataclass(frozen=True)
class Search:
    """Terms whose sum is made largest, and the groups that may move."""

    terms: tuple[Term, ...]
    groups: tuple[Group, ...]
    unmoved: float = 0.0  # what comes to the sum, whatever the orders

    def touching(self, name: str) -> list[Term]:
        """Return the terms in which a group occurs."""
        return [term for term in self.terms if name in term.block.groups]

    def value(self, orders: Orders) -> float:
        """Return the sum of all terms."""
        return self.unmoved + math.fsum(term.value(orders) for term in self.terms)

    def descend(self, start: Orders, generator: torch.Generator) -> tuple[Orders, int]:
        """Return orders that no change of one group improves, and the sweeps that took.

        Groups are taken in random order; a change is kept if the sum grows by more than rounding.

        Args:
            start: Orders of all groups that occur.
            generator: Of the order.
        """
        orders = dict(start)
        for sweep in range(1, MOST_SWEEPS + 1):
            turns = torch.randperm(len(self.groups), generator=generator).tolist()
            improved = [self._improve(self.groups[turn], orders) for turn in turns]
            if not any(improved):
                return orders, sweep
        return orders, MOST_SWEEPS

    def _improve(self, group: Group, orders: dict[str, Tensor]) -> bool:
        terms = self.touching(group.name)
        if not terms:
            return False
        proposed = {**orders, **self.best(group, orders)}
        before = math.fsum(term.value(orders) for term in terms)
        after = math.fsum(term.value(proposed) for term in terms)
        scale = math.fsum(float(term.a.norm() * term.b.norm()) for term in terms)
        if after <= before + 16 * torch.finfo(terms[0].a.dtype).eps * scale:
            return False
        orders.update(proposed)
        return True

    def best(self, group: Group, orders: Orders) -> Orders:
        """Return the best orders of one group, and of those inside it, with all others fixed."""
        inner = [each for each in self.groups if group.name in each.outers]
        if not inner:
            return {group.name: assigned(self._scores(group, orders))}
        return self._best_outer(group, inner, orders)

    def _scores(self, group: Group, orders: Orders) -> Tensor:  # (outers…, n, n)
        return sum(
            (
                term.scores(orders, dim)
                for term in self.touching(group.name)
                for dim in term.block.occurrences(group.name)
            ),
            torch.zeros((), dtype=torch.float64),
        )

    def _best_outer(self, group: Group, inner: Sequence[Group], orders: Orders) -> Orders:
        """Assign outer units by what their inner assignments attain."""
        names = [each.name for each in inner]
        pairs = [
            (paired(term, dim, names, orders), dim)
            for term in self.touching(group.name)
            for dim in term.block.occurrences(group.name)
        ]
        search = Search(
            tuple(term for term, _ in pairs),
            tuple(replace(each, outers=_opened(each.outers, group.name)) for each in inner),
        )
        begin = {each.name: _for_pairs(orders[each.name], each, group) for each in inner}
        found = search.settled(begin)
        order = assigned(sum((_gain(term, dim, found) for term, dim in pairs), torch.zeros(())))
        picked = {each.name: _picked(found[each.name], order, each, group) for each in inner}
        return {group.name: order, **picked}

    def settled(self, start: Orders) -> Orders:
        """Return the best orders of inner groups for all pairs of outer units."""
        found = dict(start)
        together = any(sum(g is not None for g in term.block.groups) > 1 for term in self.terms)
        for _ in range(ROUNDS if together else 1):
            for group in sorted(self.groups, key=lambda each: -len(each.outers)):
                if self.touching(group.name):
                    found.update(self.best(group, found))
        return found


def _opened(outers: Sequence[str], name: str) -> tuple[str, ...]:
    """Return names of outers in which one group's index has become two: in A, and in B."""
    return tuple(
        part
        for each in outers
        for part in ([f"{name} in A", f"{name} in B"] if each == name else [each])
    )


def _for_pairs(order: Tensor, inner: Group, outer: Group) -> Tensor:
    """Return the orders of an inner group, the same for every unit of A."""
    at = inner.outers.index(outer.name)
    shape = order.shape
    return order.unsqueeze(at).expand(*shape[:at], outer.size, *shape[at:])


def _gain(term: Term, dim: int, orders: Orders) -> Tensor:  # (outers…, n, n)
    """Return what a term attains for each pair of outer units."""
    batch = (*term.block.beside[dim], dim, dim + 1)
    free = [i for i, group in enumerate(term.block.groups) if group is not None]
    if not free:
        return contracted(term.a, term.b, batch=batch).double()
    order = orders[term.block.groups[free[0]] or ""]
    scores = term.scores(orders, free[0])  # (beside…, n, n)
    attained = scores.take_along_dim(order.to(scores.device).unsqueeze(-1), -1).sum((-1, -2))
    beside = list(term.block.beside[free[0]])
    extra = [i for i, each in enumerate(beside) if each not in batch]
    kept = [each for each in beside if each in batch]
    attained = attained.sum(extra) if extra else attained
    return attained.permute([kept.index(each) for each in batch]).double()


def _picked(found: Tensor, order: Tensor, inner: Group, outer: Group) -> Tensor:
    """Return, of an inner group's orders for all pairs of outer units, those of assigned pairs."""
    at = inner.outers.index(outer.name)
    places = [inner.outers.index(each) for each in (*outer.outers, outer.name)]
    ascending = sorted(range(len(places)), key=lambda i: places[i])
    sizes = dict(zip(places, order.shape, strict=True))
    shape = [sizes.get(i, 1) for i in range(len(inner.outers) + 1)]
    index = order.permute(ascending).reshape(shape).unsqueeze(at + 1)
    return found.take_along_dim(index, at + 1).squeeze(at + 1)


def assigned(scores: Tensor) -> Tensor:  # (…, n)
    """Return, for every matrix of scores (…, n, n), the assignment with the largest sum.

    What is not finite counts as zero. Cost: O(n³) at worst for each matrix.
    """
    values = np.nan_to_num(scores.detach().cpu().double().numpy(), posinf=0.0, neginf=0.0)
    flat = values.reshape(-1, *values.shape[-2:])
    columns = [linear_sum_assignment(each, maximize=True)[1] for each in flat]
    return torch.as_tensor(np.stack(columns)).reshape(values.shape[:-1])


def assign(
    symmetry: Symmetry,
    similarities: Mapping[tuple[str, int], Tensor],
    *,
    generator: torch.Generator,
    start: Permutation | None = None,
) -> Permutation:
    """Return the permutation of B's units that makes given similarities largest.

    Heads are assigned by what the assignments within them attain.

    Args:
        symmetry: The groups.
        similarities: (C, C) by tensor and axis: rows are units of A, columns of B.
        generator: Of the order in which groups are taken.
        start: Where the search starts; groups of no given axis stay there. None: the identity.
    """
    terms = [
        term
        for (name, axis), values in similarities.items()
        for term in _axis_terms(symmetry, name, axis, values)
    ]
    named = {name for term in terms for name in term.block.groups}
    search = Search(tuple(terms), tuple(g for g in symmetry.groups if g.name in named))
    orders, _ = search.descend((start or symmetry.identity()).orders, generator)
    return Permutation(symmetry.groups, orders)


def _axis_terms(symmetry: Symmetry, name: str, axis: int, values: Tensor) -> Iterable[Term]:
    """Yield similarities as the inner products of A's rows with the rows of an identity."""
    clean = torch.nan_to_num(values.detach().double(), posinf=0.0, neginf=0.0).contiguous()
    for block in symmetry.axes.get((name, axis), ()):
        eye = torch.eye(len(clean), dtype=clean.dtype, device=clean.device)
        yield Term(block.view(clean), block.view(eye), block)


def terms_of(blocks: Iterable[Block], a: Tensor, b: Tensor) -> Iterable[Term]:
    """Yield the terms of one tensor in two networks."""
    for block in blocks:
        yield Term(block.view(a), block.view(b), block)
