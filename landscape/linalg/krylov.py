"""One Krylov space, many answers: density and eigenpairs from the same products."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from landscape import progress
from landscape.linalg.density import SpectralMeasure
from landscape.linalg.eigenpairs import Request, solve
from landscape.linalg.lanczos import block_quadratures
from landscape.linalg.operator import LinearOperator
from landscape.linalg.pairs import Eigenpairs, Pairs
from landscape.linalg.probes import spherical
from landscape.linalg.recurrence import Recurrence

ENDS = 32  # Ritz pairs kept at each end


@dataclass(frozen=True)
class Krylov:
    """A block Krylov space of random probes, and what it tells.

    Its vectors are forgotten, but for the Ritz vectors at both ends.
    """

    operator: LinearOperator
    measure: SpectralMeasure
    ritz: Pairs  # up to `ends` of each end, descending; residuals as the recurrence gives them
    products: int

    def eigenpairs(
        self,
        *,
        top: int,
        bottom: int = 0,
        generator: torch.Generator,
        tolerance: float = 1e-4,
        max_products: int = 2000,
        block: int | None = None,
        memory_bytes: int | None = None,
    ) -> Eigenpairs:
        """Return the eigenpairs at both ends, as `landscape.linalg.eigenpairs.eigenpairs`.

        What has converged in the Krylov space is locked; the search for the rest starts near what
        has not; and a search from random vectors shows that nothing was missed, as there.

        Cost: only the products that are still needed, which the result counts.
        """
        request = Request(
            top=top,
            bottom=bottom,
            tolerance=tolerance,
            max_products=max_products,
            block=block,
            memory_bytes=memory_bytes,
        )
        return solve(self.operator, request, generator=generator, ritz=self.ritz)


def krylov(
    operator: LinearOperator,
    *,
    probes: int = 8,
    steps: int = 48,
    generator: torch.Generator,
    memory_bytes: int | None = None,
    ends: int = ENDS,
) -> Krylov:
    """Return the block Krylov space of random probes.

    The measure is that of p single Lanczos runs of s steps; the Ritz pairs at the ends are those of
    the whole space, which holds all of them.

    Args:
        operator: Symmetric, n × n.
        probes: Start vectors p, uniform on the sphere.
        steps: Lanczos steps s for each.
        generator: Draws the probes.
        memory_bytes: What the basis of p·s vectors may take, a quarter of what is free by default;
            where it takes more, some probes at a time form a space, and the last one's pairs count.
        ends: Ritz pairs to keep at each end.

    Cost: p·s products in blocks of p, or fewer where the budget ends before.

    Source: Golub & Meurant 2010, §3 and §4 (quadrature); Golub & Underwood 1977 (blocks).
    """
    size = operator.shape[0]
    like = torch.empty(size, dtype=operator.dtype, device=operator.device)
    starts = spherical(probes, size, like=like, generator=generator)
    with progress.task("Krylov space", probes * steps) as task:
        quadratures, recurrence = block_quadratures(operator, starts, steps, memory_bytes, task)
    measure = SpectralMeasure(quadratures, size)
    taken = sum(len(one.nodes) if one.cut else min(steps, size) for one in quadratures)
    return Krylov(operator, measure, _ends(recurrence, ends), taken)


def _ends(recurrence: Recurrence, count: int) -> Pairs:
    """Return the outermost Ritz pairs of a run, descending."""
    ritz = recurrence.ritz()
    index = torch.arange(len(ritz.values)).flip(0)
    kept = index[(index < count) | (index >= len(index) - count)]
    vectors = recurrence.combine(ritz.weights.T[kept])
    return Pairs(ritz.values[kept].numpy(), ritz.residuals[kept].numpy(), vectors)
