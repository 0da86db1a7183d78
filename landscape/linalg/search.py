"""One thick-restart block Lanczos search in the orthogonal complement of what is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from landscape.budget import spent
from landscape.linalg.operator import LinearOperator
from landscape.linalg.overlooked import Outlook, least_sight
from landscape.linalg.probes import spherical
from landscape.linalg.recurrence import Recurrence
from landscape.linalg.shape import Shape

CHECK_EVERY = 8  # products between looks at the Ritz values, for which an accelerator must stop
ROWS_A_LOOK = 16  # rows of the basis for each product between looks on the host
STRAY = 0.03  # random part of a start near what is wanted


@dataclass(frozen=True)
class Wanted:
    """Which pairs must converge: some at each end, or every one beyond two thresholds."""

    top: int = 0
    bottom: int = 0
    above: float = math.inf
    below: float = -math.inf

    def mask(self, values: Tensor, slack: float) -> Tensor:
        """Return which of some ascending values (k,) are wanted."""
        index = torch.arange(len(values))
        ends = (index >= len(values) - self.top) | (index < self.bottom)
        beyond = (values > self.above + slack) | (values < self.below - slack)
        return ends | beyond

    @property
    def share(self) -> float:
        """Return the share of the upper end in what is kept beside the wanted pairs."""
        upper = self.top > 0 or math.isfinite(self.above)
        lower = self.bottom > 0 or math.isfinite(self.below)
        return upper / (upper + lower)

    def outlooks(self, least: float) -> list[Outlook]:
        """Return what watches the thresholds; `least` is what the start sees of anything."""
        return [
            Outlook(top, threshold, least)
            for top, threshold in ((True, self.above), (False, self.below))
            if math.isfinite(threshold)
        ]


@dataclass(frozen=True)
class Found:
    """Ritz pairs of a search, ascending or joined."""

    values: Tensor  # (k,), float64, on the host
    vectors: Tensor  # (k, n), orthonormal rows
    images: Tensor | None  # (k, n), their products, if kept
    converged: Tensor  # (k,), bool
    settled: bool  # everything that was wanted converged
    exhausted: bool  # the whole space was spanned: the pairs are exact, and nothing is left

    @classmethod
    def none(cls, like: Tensor) -> Found:
        """Return no pairs of operators on vectors such as the given one (n,)."""
        nothing = torch.zeros(0, dtype=torch.float64)
        rows = like.new_zeros(0, like.numel())
        return cls(nothing, rows, rows, nothing.bool(), True, False)

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
        rows = mask.to(self.vectors.device)
        return replace(
            self,
            values=self.values[mask],
            vectors=self.vectors[rows],
            images=None if self.images is None else self.images[rows],
            converged=self.converged[mask],
        )

    def joined(self, other: Found, *, exhausted: bool) -> Found:
        """Return these pairs and others, which are orthogonal to them."""
        images = None
        if self.images is not None and other.images is not None:
            images = torch.cat([self.images, other.images])
        return Found(
            torch.cat([self.values, other.values]),
            torch.cat([self.vectors, other.vectors]),
            images,
            torch.cat([self.converged, other.converged]),
            self.settled and other.settled,
            exhausted,
        )


class Search:
    """Searches that share a budget of products and an estimate of the operator's size.

    Args:
        operator: Symmetric, n × n.
        generator: Draws the start vectors.
        tolerance: Largest residual, relative to the largest |eigenvalue|.
        budget: Products that may be spent.
        shape: How large blocks and bases are.
    """

    def __init__(
        self,
        operator: LinearOperator,
        *,
        generator: torch.Generator,
        tolerance: float,
        budget: int,
        shape: Shape,
    ) -> None:
        self.operator = operator
        self.generator = generator
        self.tolerance = tolerance
        self.budget = budget
        self.shape = shape
        self.products = 0
        self.scale = 0.0
        self.floor = 0.0  # the symmetry defect so far, below which no residual is asked for
        self.on_step: Callable[[int], None] = lambda _: None

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

    @property
    def spent(self) -> bool:
        """Return whether no further block can be paid for."""
        return spent() or self.products + self.shape.block > self.budget

    def run(self, known: Found, wanted: Wanted, start: Tensor | None = None) -> Found:
        """Search the complement of known pairs until the wanted converge or the budget ends.

        Where everything beyond two thresholds is wanted, the search ends once it is plain that
        nothing lies there beside what converged.

        Args:
            known: What is locked.
            wanted: What must converge.
            start: Rows (k, n) near the wanted pairs. The search starts from random combinations of
                them with something random added, so that other directions are met as well.
        """
        left = known.vectors.shape[1] - len(known.values)
        if left == 0:
            return replace(Found.none(known.vectors[0]), exhausted=True)
        recurrence = Recurrence(
            self.operator,
            self._starts(known.vectors, start),
            capacity=min(self.shape.rows_beside(len(known.values)), left),
            generator=self.generator,
            fixed=known.vectors,
            on_host=self.shape.on_host,
            images=self.shape.images,
        )
        outlooks = wanted.outlooks(least_sight(left, recurrence.width))
        while True:
            self._advance(recurrence, wanted.top + wanted.bottom)
            ritz = recurrence.ritz()
            self.scale = max(self.scale, float(ritz.values.abs().max()))
            self.floor = max(self.floor, ritz.defect)
            slack = self.absolute_tolerance
            done = ritz.residuals <= slack
            need = wanted.mask(ritz.values, slack)
            enough = recurrence.spans or len(ritz.values) > wanted.top + wanted.bottom
            settled = (
                enough
                and bool(done[need].all())
                and all(outlook.decided(recurrence, ritz, slack) for outlook in outlooks)
            )
            if settled or recurrence.spans or (enough and self._too_dear(recurrence)):
                weights = ritz.weights.T[need]
                rows, images = recurrence.combine(weights), recurrence.image(weights)
                return Found(ritz.values[need], rows, images, done[need], settled, recurrence.spans)
            if recurrence.full:
                for outlook in outlooks:
                    outlook.restart(recurrence, ritz, slack)
                recurrence.restart(ritz, _kept(need, recurrence.width, wanted.share))

    def _advance(self, recurrence: Recurrence, least: int) -> None:
        """Take steps until it is time to look, or the budget ends with more rows than `least`."""
        size = recurrence.basis.size
        on_host = self.operator.device.type == "cpu"
        until = max(1, size // ROWS_A_LOOK) if on_host else CHECK_EVERY
        taken = 0
        while taken < until and not recurrence.full:
            if recurrence.basis.size > least and self._too_dear(recurrence):
                return
            width = recurrence.width
            recurrence.step()
            taken += width
            self.products += width
            self.on_step(width)

    def _too_dear(self, recurrence: Recurrence) -> bool:
        return spent() or self.products + recurrence.width > self.budget

    def _starts(self, like: Tensor, near: Tensor | None) -> Tensor:  # (b, n)
        count = min(self.shape.block, like.shape[1])
        random = spherical(count, like.shape[1], like=like, generator=self.generator)
        if near is None or not len(near):
            return random
        turn = spherical(count, len(near), like=like, generator=self.generator)
        return turn @ near.to(like) + STRAY * random


def _kept(need: Tensor, width: int, share: float) -> Tensor:
    """Return which Ritz pairs a restart keeps: the wanted ones, and half of the rest beside them.

    There is room for two blocks at least afterwards, if need be for fewer wanted ones.
    """
    size, places = len(need), max(len(need) - 2 * width, 0)
    top = int(need[size // 2 :].sum())
    bottom = int(need.sum()) - top
    room = min((size - top - bottom) // 2, places - top - bottom)
    if room < 0:
        top = places * top // (top + bottom)
        bottom = places - top
    else:
        top, bottom = top + round(share * room), bottom + round((1 - share) * room)
    index = torch.arange(size)
    return (index >= size - top) | (index < bottom)
