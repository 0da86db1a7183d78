"""One thick-restart Lanczos search in the orthogonal complement of what is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from landscape.linalg.basis import Basis, norm
from landscape.linalg.operator import LinearOperator
from landscape.linalg.probes import spherical

CHECK_EVERY = 8  # steps between looks at the Ritz values


@dataclass(frozen=True)
class Wanted:
    """Which pairs must converge: some at each end, and every one beyond two thresholds."""

    top: int
    bottom: int
    above: float = math.inf
    below: float = -math.inf

    def mask(self, values: Tensor, slack: float) -> Tensor:
        """Return which of some ascending values (k,) are wanted."""
        index = torch.arange(len(values))
        ends = (index >= len(values) - self.top) | (index < self.bottom)
        beyond = (values > self.above + slack) | (values < self.below - slack)
        return ends | beyond


@dataclass(frozen=True)
class Found:
    """Ritz pairs of a search, ascending or joined."""

    values: Tensor  # (k,), float64, on the host
    vectors: Tensor  # (k, n), orthonormal rows
    converged: Tensor  # (k,), bool
    settled: bool  # everything that was wanted converged
    exhausted: bool  # the whole space was spanned: the pairs are exact, and nothing is left

    @classmethod
    def none(cls, like: Tensor) -> Found:
        """Return no pairs of operators on vectors such as the given one (n,)."""
        nothing = torch.zeros(0, dtype=torch.float64)
        return cls(nothing, like.new_zeros(0, like.numel()), nothing.bool(), True, False)

    def kth_largest(self, k: int) -> float:
        """Return the k-th largest value; infinity for k = 0."""
        if k == 0:
            return math.inf
        return float(self.values.sort(descending=True).values[min(k, len(self.values)) - 1])

    def kth_smallest(self, k: int) -> float:
        """Return the k-th smallest value; minus infinity for k = 0."""
        if k == 0:
            return -math.inf
        return float(self.values.sort().values[min(k, len(self.values)) - 1])

    def selected(self, mask: Tensor) -> Found:
        """Return some of the pairs."""
        vectors = self.vectors[mask.to(self.vectors.device)]
        return Found(self.values[mask], vectors, self.converged[mask], self.settled, self.exhausted)

    def joined(self, other: Found, *, exhausted: bool) -> Found:
        """Return these pairs and others, which are orthogonal to them."""
        return Found(
            torch.cat([self.values, other.values]),
            torch.cat([self.vectors, other.vectors]),
            torch.cat([self.converged, other.converged]),
            self.settled and other.settled,
            exhausted,
        )


class Search:
    """Searches that share a budget of products and an estimate of the operator's size."""

    def __init__(
        self,
        operator: LinearOperator,
        *,
        generator: torch.Generator,
        tolerance: float,
        floor: float,
        budget: int,
        basis_size: int,
    ) -> None:
        self.operator = operator
        self.generator = generator
        self.tolerance = tolerance
        self.floor = floor
        self.budget = budget
        self.basis_size = basis_size
        self.products = 0
        self.scale = 0.0
        self.on_step: Callable[[], None] = lambda: None

    @property
    def spent(self) -> bool:
        """Return whether no product is left."""
        return self.products >= self.budget

    @property
    def accepted(self) -> float:
        """Return the true residual that is accepted in the end."""
        return max(self.tolerance * self.scale, 2 * self.floor)

    @property
    def absolute_tolerance(self) -> float:
        """Return the estimated residual, and the distance between pairs, that a search aims at.

        It is half of what is accepted, so that residual and order together keep within that.
        """
        return self.accepted / 2

    def run(self, known: Found, wanted: Wanted) -> Found:
        """Search the complement of known pairs until the wanted converge or the budget ends."""
        like = known.vectors.new_empty(known.vectors.shape[1])
        left = like.numel() - len(known.values)
        if left == 0:
            return replace(Found.none(like), exhausted=True)
        basis = Basis(min(self.basis_size, left), like, fixed=known.vectors)
        projected = torch.zeros(self.basis_size, self.basis_size, dtype=torch.float64)
        direction = self._random(basis, like)
        while True:
            direction, coupling = self._extend(basis, projected, direction)
            values, weights = torch.linalg.eigh(projected[: basis.size, : basis.size])
            self.scale = max(self.scale, float(values.abs().max()))
            done = coupling * weights[-1].abs() <= self.absolute_tolerance
            need = wanted.mask(values, self.absolute_tolerance)
            enough = basis.spans or len(values) > wanted.top + wanted.bottom
            settled = enough and bool(done[need].all())
            if settled or self.spent:
                rows = basis.combine(weights.T[need].to(like.device))
                return Found(values[need], rows, done[need], settled, basis.spans)
            if basis.full:
                self._restart(basis, projected, values, weights, need)

    def _extend(self, basis: Basis, projected: Tensor, direction: Tensor) -> tuple[Tensor, float]:
        """Take up to `CHECK_EVERY` steps; return the next direction and its coupling."""
        coupling = 0.0
        for _ in range(CHECK_EVERY):
            basis.append(direction)
            last = basis.size - 1
            image = self.operator.matvec(basis.rows[last])
            self.products += 1
            self.on_step()
            direction, coefficients = basis.orthogonalise(image)
            column = coefficients.cpu()
            projected[: last + 1, last] = column
            projected[last, : last + 1] = column
            self.scale = max(self.scale, float(column.abs().max()))
            if basis.spans:
                return direction, 0.0
            coupling = norm(direction)
            if coupling <= 4 * torch.finfo(direction.dtype).eps * self.scale:
                direction = self._random(basis, direction)  # an invariant subspace: go on outside
            if basis.full or self.spent:
                break
        return direction, coupling

    def _restart(
        self, basis: Basis, projected: Tensor, values: Tensor, weights: Tensor, need: Tensor
    ) -> None:
        """Keep the wanted Ritz vectors and some neighbours; the rest is forgotten."""
        size = basis.size
        top = int(need[size // 2 :].sum())
        bottom = int(need.sum()) - top
        room = (size - top - bottom) // 2
        top += room if bottom == 0 else room // 2
        bottom += room // 2 if bottom else 0
        index = torch.arange(size)
        keep = (index >= size - top) | (index < bottom)
        keep[size // 2] = False  # always leave a place for the next direction
        basis.compress(weights.T[keep].to(basis.rows.device))
        projected.zero_()
        projected[: basis.size, : basis.size] = torch.diag(values[keep])

    def _random(self, basis: Basis, like: Tensor) -> Tensor:
        """Return a random direction orthogonal to everything known."""
        start = spherical(1, like.numel(), like=like, generator=self.generator)[0]
        free, _ = basis.orthogonalise(start)
        free, _ = basis.orthogonalise(free / norm(free))
        return free
