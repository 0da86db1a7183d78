"""Trace, squared Frobenius norm and traces of blocks, by Hutchinson's estimator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from landscape import progress
from landscape.estimate import Estimate, Status
from landscape.linalg.operator import LinearOperator
from landscape.linalg.probes import rademacher

FIRST_PROBES = 32
BLOCK = 16  # probes in one pass over the data


@dataclass(frozen=True)
class Traces:
    """What one set of products zᵀAz tells."""

    trace: Estimate
    frobenius_squared: Estimate
    blocks: tuple[Estimate, ...]  # one per block, in order


def estimate_traces(
    operator: LinearOperator,
    *,
    blocks: Sequence[tuple[int, int]],
    generator: torch.Generator,
    tolerance: float = 0.05,
    max_probes: int = 128,
) -> Traces:
    """Return Tr A, ‖A‖²_F and the traces of diagonal blocks, each with Student's t interval.

    zᵀAz, ‖Az‖² and zᵦᵀ(Az)ᵦ for random signs z estimate them without bias. The width of the trace's
    interval is looked at only after 32 probes and whenever their number has doubled, and the level
    is shared among the looks (Bonferroni), so that stopping early does not cost coverage.

    Args:
        operator: Symmetric, n × n.
        blocks: Coordinates (start, stop) of each block.
        generator: Draws the probes.
        tolerance: Half-width of the trace's interval at which to stop, relative to the trace.
        max_probes: The budget, at least 32 unless the operator is smaller.

    Cost: one product a probe.

    Source: Hutchinson 1990; Girard 1989.
    """
    looks = max(1, int(np.log2(max(max_probes, FIRST_PROBES) / FIRST_PROBES)) + 1)
    level = 1 - 0.05 / looks
    draws = np.zeros((0, 2 + len(blocks)))
    target = min(FIRST_PROBES, max_probes)
    settled = False
    with progress.task("trace", max_probes) as task:
        while True:
            while len(draws) < target:
                count = min(BLOCK, target - len(draws))
                draws = np.vstack([draws, _draw(operator, count, blocks, generator)])
                task.advance(count)
            found = Estimate.mean(draws[:, 0], method="", level=level)
            settled = found.half_width <= tolerance * abs(found.value)
            if settled or len(draws) >= max_probes:
                break
            target = min(2 * len(draws), max_probes)
    status = Status.CONVERGED if settled else Status.BUDGET_SPENT
    method = f"Hutchinson, {len(draws)} Rademacher probes"
    trace = _reported(draws[:, 0], level, method, status)
    squared = _reported(draws[:, 1], level, method, Status.CONVERGED)
    parts = [_reported(column, level, method, Status.CONVERGED) for column in draws.T[2:]]
    return Traces(trace, squared, tuple(parts))


def _reported(draws: np.ndarray, level: float, method: str, status: Status) -> Estimate:
    """Return the estimate with an interval at the shared level, stated as 95 % overall."""
    wide = Estimate.mean(draws, method=method, level=level, status=status)
    return Estimate(
        value=wide.value,
        kind="estimate",
        interval=wide.interval,
        level=0.95,
        solver=wide.interval,
        samples=len(draws),
        status=status,
        method=method,
    )


def _draw(
    operator: LinearOperator,
    count: int,
    blocks: Sequence[tuple[int, int]],
    generator: torch.Generator,
) -> np.ndarray:  # (count, 2 + blocks)
    like = torch.empty(0, dtype=operator.dtype, device=operator.device)
    signs = rademacher(count, operator.shape[0], like=like, generator=generator)
    images = operator.matmat(signs.T).T
    products = (signs * images).double()
    columns = [products.sum(1), images.double().square().sum(1)]
    columns += [products[:, start:stop].sum(1) for start, stop in blocks]
    return torch.stack(columns, dim=1).cpu().numpy()
