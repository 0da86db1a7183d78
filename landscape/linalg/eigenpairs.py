"""Eigenpairs at both ends of a symmetric operator, with true residuals and a completeness check.

Thick-restart Lanczos (Wu & Simon 2000) finds well separated pairs from one start vector, but one
start vector meets each eigenvalue once, however often it occurs, and small residuals do not show
that a pair was missed. So what was found is locked, and a new search starts from a random vector
orthogonal to it; what it finds beyond the k-th pair is taken in; the search is repeated until a
converged search finds nothing beyond.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from landscape import progress
from landscape.errors import NumericalError, SettingError
from landscape.estimate import Status
from landscape.linalg.basis import dots, norm
from landscape.linalg.operator import LinearOperator
from landscape.linalg.probes import spherical
from landscape.linalg.search import Found, Search, Wanted

PROBES = 3  # random vectors that are multiplied with one another
ASYMMETRY = 0.05  # of the usual size of u·Av: far above any rounding


@dataclass(frozen=True)
class Pairs:
    """Eigenpairs of one end, the extreme one first."""

    values: np.ndarray  # (k,)
    residuals: np.ndarray  # (k,), ‖Av − λv‖ with ‖v‖ = 1, absolute
    vectors: Tensor  # (k, n), rows

    def first(self, count: int) -> Pairs:
        """Return the first pairs."""
        return Pairs(self.values[:count], self.residuals[:count], self.vectors[:count])

    def last(self, count: int) -> Pairs:
        """Return the last pairs, in reverse."""
        back = np.arange(len(self.values) - 1, len(self.values) - 1 - count, -1)
        return Pairs(self.values[back], self.residuals[back], self.vectors[back.tolist()])


@dataclass(frozen=True)
class Eigenpairs:
    """Both ends of a spectrum and how far they can be trusted."""

    top: Pairs  # descending
    bottom: Pairs  # ascending
    known: Pairs  # both ends together, each pair once, orthonormal
    complete: bool  # no pair beyond the k-th was missed
    status: Status
    tolerance: float  # absolute: the residual that was asked for, or the noise floor
    symmetry_defect: float  # |u·Av − v·Au| for random unit vectors: the noise floor
    orthogonality: float  # max |VVᵀ − I|
    searches: int
    products: int


def eigenpairs(
    operator: LinearOperator,
    *,
    top: int,
    bottom: int = 0,
    generator: torch.Generator,
    tolerance: float = 1e-4,
    max_products: int = 2000,
    basis_size: int | None = None,
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
        basis_size: Vectors kept before a restart.

    Raises:
        SettingError: More pairs are asked for than there are coordinates.
        NumericalError: The operator is not symmetric.

    Cost: one product a step, one per pair for its true residual, three for the noise floor.
    Memory: `basis_size` + `top` + `bottom` vectors.

    Source: Wu & Simon 2000 (thick restart); Parlett 1998, §11 (residual bounds).
    """
    size = operator.shape[0]
    if max(top, bottom) > size:
        raise SettingError(
            f"{max(top, bottom)} eigenpairs were asked for, but there are {size} parameters",
            where="top, bottom",
            hint=f"ask for at most {size}",
        )
    like = torch.empty(size, dtype=operator.dtype, device=operator.device)
    defect = _symmetry_defect(operator, like, generator)
    search = Search(
        operator,
        generator=generator,
        tolerance=tolerance,
        floor=defect,
        budget=max(max_products - top - bottom - PROBES, top + bottom + 2),
        basis_size=basis_size or max(2 * (top + bottom) + 20, 40),
    )
    with progress.task("eigenpairs", None) as task:
        search.on_step = task.advance
        found, complete, searches = _all_pairs(search, like, top, bottom)
    known, orthogonality = _refined(operator, found, top, bottom)
    upper, lower = known.first(top), known.last(bottom)
    accepted = search.accepted
    settled = all(bool((end.residuals <= accepted).all()) for end in (upper, lower))
    return Eigenpairs(
        top=upper,
        bottom=lower,
        known=known,
        complete=complete,
        status=_status(settled and complete, exhausted=found.exhausted),
        tolerance=accepted,
        symmetry_defect=defect,
        orthogonality=orthogonality,
        searches=searches,
        products=search.products + len(known.values) + PROBES,
    )


def _status(settled: bool, *, exhausted: bool) -> Status:
    if not settled:
        return Status.BUDGET_SPENT
    return Status.INVARIANT_SUBSPACE if exhausted else Status.CONVERGED


def _symmetry_defect(operator: LinearOperator, like: Tensor, generator: torch.Generator) -> float:
    """Return the largest |u·Av − v·Au| among random unit vectors.

    Raises:
        NumericalError: It is as large as the products themselves, which no rounding explains.
    """
    starts = spherical(PROBES, like.numel(), like=like, generator=generator)
    products = operator.matmat(starts.T).T
    forms = torch.stack([dots(starts, product) for product in products])
    defect = float((forms - forms.T).abs().max())
    usual = max(map(norm, products)) / math.sqrt(like.numel())  # size of u·Av for random u
    if like.numel() > 1 and defect > ASYMMETRY * usual:
        raise NumericalError(
            "the operator is not symmetric, so its products are wrong",
            where=type(operator).__name__,
            why=f"|u·Av − v·Au| is {defect:.2g} where u·Av is about {usual:.2g}: the network holds "
            "an operation whose second derivative is wrong in PyTorch (weight_norm on the CPU)",
            hint="use --operator gauss-newton, or study the network with that operation replaced",
        )
    return defect


def _all_pairs(search: Search, like: Tensor, top: int, bottom: int) -> tuple[Found, bool, int]:
    found = search.run(Found.none(like), Wanted(top=top, bottom=bottom))
    searches, complete = 1, found.exhausted
    while not complete and not search.spent:
        above, below = found.kth_largest(top), found.kth_smallest(bottom)
        wanted = Wanted(top=min(top, 1), bottom=min(bottom, 1), above=above, below=below)
        more = search.run(found, wanted)
        searches += 1
        slack = search.absolute_tolerance
        missed = more.converged & ((more.values > above + slack) | (more.values < below - slack))
        complete = more.settled and not bool(missed.any())
        found = found.joined(more.selected(missed), exhausted=more.exhausted)
        if more.exhausted:
            complete = True
    return found, complete, searches


def _refined(operator: LinearOperator, found: Found, top: int, bottom: int) -> tuple[Pairs, float]:
    """Rotate the pairs within their span (Rayleigh-Ritz) and measure their true residuals.

    Returns:
        The `top` largest and the `bottom` smallest, descending, and their orthogonality defect.
    """
    order = torch.argsort(found.values, descending=True)
    kept = torch.unique(torch.cat([order[:top], order[len(order) - bottom :]]))
    vectors, _ = torch.linalg.qr(found.vectors[kept.to(found.vectors.device)].double().T)
    vectors = vectors.T.to(operator.dtype).contiguous()
    products = operator.matmat(vectors.T).T
    projected = torch.stack([dots(vectors, product) for product in products]).cpu()
    values, weights = torch.linalg.eigh((projected + projected.T) / 2)
    turn = weights.T.flip(0).to(operator.device)
    rotated = (turn @ vectors.double()).to(operator.dtype)
    misfit = turn @ products.double() - values.flip(0).to(turn)[:, None] * rotated.double()
    residuals = np.array([norm(row) for row in misfit])
    gram = torch.stack([dots(rotated, row) for row in rotated]).cpu()
    orthogonality = float((gram - torch.eye(len(gram), dtype=torch.float64)).abs().max())
    return Pairs(values.flip(0).numpy(), residuals, rotated), orthogonality
