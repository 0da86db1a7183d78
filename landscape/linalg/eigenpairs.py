"""Eigenpairs at both ends of a symmetric operator, with true residuals and a completeness check.

Thick-restart Lanczos (Wu & Simon 2000) finds well separated pairs from one start block, but a block
of b vectors meets each eigenvalue at most b times, however often it occurs, and small residuals do
not show that a pair was missed. So what was found is locked, and a new search starts from random
vectors orthogonal to it; what it finds beyond the k-th pair is taken in; the search is repeated
until one sees that nothing lies beyond.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from landscape import budget, progress
from landscape.errors import SettingError
from landscape.estimate import Status
from landscape.linalg.operator import LinearOperator
from landscape.linalg.pairs import Eigenpairs, Pairs, defect, dense, measured
from landscape.linalg.search import Found, Search, Wanted
from landscape.linalg.shape import fitting

__all__ = ["Eigenpairs", "Pairs", "Request", "eigenpairs", "refuse_more_than", "solve"]

DENSE_BELOW = 300  # so many products tell everything, and searches would take about as many


@dataclass(frozen=True, kw_only=True)
class Request:
    """Which pairs are wanted, how well, and at what price.

    Args:
        top: How many of the largest, at most n.
        bottom: How many of the smallest, at most n.
        tolerance: Largest residual, relative to the largest |eigenvalue|; never below the
            symmetry defect.
        max_products: The budget, beyond which pairs are returned as they are.
        basis_size: Vectors kept before a restart; chosen by pairs and memory.
        block: Products at once; chosen by the operator's `preferred_block`.
        memory_bytes: What the basis may take; a quarter of what is free.
    """

    top: int
    bottom: int = 0
    tolerance: float = 1e-4
    max_products: int = 2000
    basis_size: int | None = None
    block: int | None = None
    memory_bytes: int | None = None


def eigenpairs(  # noqa: PLR0913 - a request, spelt out
    operator: LinearOperator,
    *,
    top: int,
    bottom: int = 0,
    generator: torch.Generator,
    tolerance: float = 1e-4,
    max_products: int = 2000,
    basis_size: int | None = None,
    block: int | None = None,
    memory_bytes: int | None = None,
    start: Tensor | None = None,
) -> Eigenpairs:
    """Return the `top` largest and the `bottom` smallest eigenvalues of a symmetric operator.

    Args:
        operator: Symmetric, n × n.
        top: How many of the largest, at most n.
        bottom: How many of the smallest, at most n.
        generator: Draws the start vectors.
        tolerance: Largest residual, relative to the largest |eigenvalue|; never below the
            symmetry defect.
        max_products: The budget, beyond which pairs are returned as they are.
        basis_size: Vectors kept before a restart; chosen by pairs and memory.
        block: Products at once; chosen by the operator's `preferred_block`.
        memory_bytes: What the basis may take; a quarter of what is free.
        start: Rows (l, n) near the wanted pairs, as those of the checkpoint before. They save
            products and change nothing else: random directions are searched as well.

    Raises:
        SettingError: More pairs are asked for than there are coordinates.
        NumericalError: The operator is not symmetric, or a product is not finite.

    Cost: one product a step and row of a block; n for n ≤ 300. True residuals follow from the
    products of the basis where memory allows to keep them, and cost one product a pair otherwise.
    Memory: the basis (two vectors a pair and twenty, at least 64), its products, and twice `top` +
    `bottom` vectors.

    Source: Wu & Simon 2000 (thick restart); Zhou & Saad 2008 (blocks); Parlett 1998, §11 (residual
    bounds); `landscape.linalg.overlooked` (what a random start cannot miss).
    """
    request = Request(
        top=top,
        bottom=bottom,
        tolerance=tolerance,
        max_products=max_products,
        basis_size=basis_size,
        block=block,
        memory_bytes=memory_bytes,
    )
    return solve(operator, request, generator=generator, start=start)


def refuse_more_than(size: int, top: int, bottom: int) -> None:
    """Refuse a request for more pairs than there are coordinates.

    Raises:
        SettingError: It is one.
    """
    if max(top, bottom) > size:
        raise SettingError(
            f"{max(top, bottom)} eigenpairs were asked for, but there are {size} parameters",
            where="top, bottom",
            why="a matrix has as many eigenpairs as rows",
            hint=f"ask for at most {size}",
        )


def solve(
    operator: LinearOperator,
    request: Request,
    *,
    generator: torch.Generator,
    start: Tensor | None = None,
    ritz: Pairs | None = None,
) -> Eigenpairs:
    """Return what is requested, as `eigenpairs`.

    Args:
        operator: Symmetric, n × n.
        request: Which pairs, and at what price.
        generator: Draws the start vectors.
        start: Rows (l, n) near the wanted pairs.
        ritz: Ritz pairs of this operator from another run, of both ends, descending; those whose
            residuals are small enough are not searched again.
    """
    size, top, bottom = operator.shape[0], request.top, request.bottom
    refuse_more_than(size, top, bottom)
    if size <= min(DENSE_BELOW, request.max_products) and budget.affords(size):
        return _exactly(operator, request)
    left = budget.left_products()
    most = request.max_products if left is None else min(request.max_products, left)
    shape = fitting(
        operator,
        pairs=top + bottom,
        max_products=most - top - bottom,
        block=request.block,
        basis_size=request.basis_size,
        memory_bytes=request.memory_bytes,
    )
    least = top + bottom + 2 + shape.block
    if ritz is not None and not budget.affords(least + top + bottom):
        return _as_they_are(ritz, request)
    later = 0 if shape.images and ritz is None else top + bottom
    search = Search(
        operator,
        generator=generator,
        tolerance=request.tolerance,
        budget=max(most - later, least),
        shape=shape,
    )
    with progress.task("eigenpairs", None) as task:
        search.on_step = task.advance
        found, complete, searches = _all_pairs(search, request, start, ritz)
    order = torch.argsort(found.values, descending=True)
    kept = torch.unique(torch.cat([order[:top], order[len(order) - bottom :]]))
    found = found.selected(kept)
    known, orthogonality = measured(operator, found.vectors, found.images)
    upper, lower = known.first(top), known.last(bottom)
    accepted = search.accepted
    settled = all(bool((end.residuals <= accepted).all()) for end in (upper, lower))
    return Eigenpairs(
        top=upper,
        bottom=lower,
        known=known,
        complete=complete,
        status=_status(
            settled and complete, exhausted=found.exhausted, cut=most < request.max_products
        ),
        tolerance=accepted,
        symmetry_defect=search.floor,
        orthogonality=orthogonality,
        searches=searches,
        products=search.products + (len(known.values) if found.images is None else 0),
        imprecision=operator.imprecision,
    )


def _status(settled: bool, *, exhausted: bool, cut: bool = False) -> Status:
    """Return the status; `cut`: the budget in force allowed fewer products than the request."""
    if not settled:
        return Status.BUDGET_SPENT if cut or budget.spent() else Status.NOT_CONVERGED
    return Status.INVARIANT_SUBSPACE if exhausted else Status.CONVERGED


def _as_they_are(ritz: Pairs, request: Request) -> Eigenpairs:
    """Return Ritz pairs for which nothing can be spent any more; fewer than wanted if need be."""
    size = len(ritz.values)
    bottom = min(request.bottom, size // 2)
    top = min(request.top, size - bottom)
    index = np.arange(size)
    kept = index[(index < top) | (index >= size - bottom)].tolist()
    upper, lower = ritz.first(top), ritz.last(bottom)
    return Eigenpairs(
        top=upper,
        bottom=lower,
        known=Pairs(ritz.values[kept], ritz.residuals[kept], ritz.vectors[kept]),
        complete=False,
        status=Status.BUDGET_SPENT,
        tolerance=request.tolerance * float(np.abs(ritz.values).max()),
        symmetry_defect=0.0,
        orthogonality=defect(ritz.vectors),
        searches=0,
        products=0,
    )


def _exactly(operator: LinearOperator, request: Request) -> Eigenpairs:
    """Return the pairs of the whole matrix."""
    every, orthogonality, defect = dense(operator)
    size, top, bottom = len(every.values), request.top, request.bottom
    index = np.arange(size)
    kept = index[(index < top) | (index >= size - bottom)].tolist()
    accepted = max(request.tolerance * float(np.abs(every.values).max()), 2 * defect)
    upper, lower = every.first(top), every.last(bottom)
    settled = all(bool((end.residuals <= accepted).all()) for end in (upper, lower))
    return Eigenpairs(
        top=upper,
        bottom=lower,
        known=Pairs(every.values[kept], every.residuals[kept], every.vectors[kept]),
        complete=True,
        status=_status(settled, exhausted=True),
        tolerance=accepted,
        symmetry_defect=defect,
        orthogonality=orthogonality,
        searches=1,
        products=size,
        imprecision=operator.imprecision,
    )


def _all_pairs(
    search: Search, request: Request, start: Tensor | None, ritz: Pairs | None
) -> tuple[Found, bool, int]:
    """Return what was found, whether it is complete, and how many searches that took."""
    top, bottom = request.top, request.bottom
    found, missing, near = _split(search, request, ritz)
    if missing.top or missing.bottom:
        more = search.run(found, missing, near if ritz is not None else start)
        found = found.joined(more, exhausted=more.exhausted)
    searches, complete = 1, found.exhausted
    while not complete and not search.spent:
        above, below = found.kth_largest(top), found.kth_smallest(bottom)
        more = search.run(found, Wanted(above=above, below=below))
        searches += 1
        slack = search.absolute_tolerance
        missed = more.converged & ((more.values > above + slack) | (more.values < below - slack))
        complete = more.settled and not bool(missed.any())
        found = found.joined(more.selected(missed), exhausted=more.exhausted)
        if more.exhausted:
            complete = True
    return found, complete, searches


def _split(
    search: Search, request: Request, ritz: Pairs | None
) -> tuple[Found, Wanted, Tensor | None]:
    """Return the wanted Ritz pairs that have converged, what is missing, and the other ones."""
    top, bottom = request.top, request.bottom
    if ritz is None:
        size = search.operator.shape[0]
        like = torch.empty(size, dtype=search.operator.dtype, device=search.operator.device)
        return Found.none(like), Wanted(top=top, bottom=bottom), None
    search.scale = float(np.abs(ritz.values).max())
    index = np.arange(len(ritz.values))
    upper, lower = index < top, index >= len(index) - bottom
    done = (upper | lower) & (ritz.residuals <= search.absolute_tolerance)
    near = (upper | lower) & ~done
    missing = Wanted(top=top - int((upper & done).sum()), bottom=bottom - int((lower & done).sum()))
    values = torch.from_numpy(ritz.values[done])
    locked = Found(
        values,
        ritz.vectors[done.nonzero()[0].tolist()],
        None,
        torch.ones_like(values).bool(),
        settled=True,
        exhausted=len(values) == search.operator.shape[0],
    )
    return locked, missing, ritz.vectors[near.nonzero()[0].tolist()]
