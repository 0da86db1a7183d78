"""Trace, squared Frobenius norm and traces of blocks, by Hutchinson's estimator."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.special import chdtri
from torch import Tensor

from landscape import progress
from landscape.budget import affords, left_products, left_seconds, spent
from landscape.estimate import Estimate, Status
from landscape.linalg.basis import dots
from landscape.linalg.eigenpairs import Pairs
from landscape.linalg.operator import LinearOperator
from landscape.linalg.probes import rademacher

FIRST_PROBES = 32
BLOCK = 16  # probes in one pass over the data
TINY = float(np.finfo(float).tiny)


@dataclass(frozen=True)
class Traces:
    """What one set of products zᵀAz tells."""

    trace: Estimate
    frobenius_squared: Estimate
    blocks: tuple[Estimate, ...]  # one per block, in order
    diagonal: Diagonal


@dataclass(frozen=True)
class Diagonal:
    """An estimate of every diagonal entry, and how far it is off as a whole."""

    mean: Tensor  # (n,), float64
    error_norm: float  # √Σᵢ sᵢ², with sᵢ the standard error of entry i

    @property
    def norm_squared(self) -> float:
        """Return an unbiased estimate of ‖diag A‖², not below zero."""
        square = float(self.mean.square().sum()) - self.error_norm**2
        return max(square, 0.0)


class _Entries:
    """Mean and scatter of draws of the diagonal, by Welford's recurrence."""

    def __init__(self, like: Tensor) -> None:
        self.count = 0
        self._mean = torch.zeros_like(like, dtype=torch.float64)
        self._scatter = torch.zeros_like(self._mean)

    def add(self, draws: Tensor) -> None:
        for draw in draws:
            self.count += 1
            step = draw - self._mean
            self._mean += step / self.count
            self._scatter += step * (draw - self._mean)

    def diagonal(self, known: Pairs | None) -> Diagonal:
        """Return the estimate, with what known pairs contribute."""
        mean = self._mean
        if known is not None:
            weights = torch.from_numpy(known.values).to(mean)
            for value, vector in zip(weights, known.vectors, strict=True):
                mean = mean + value * vector.double().square()
        scatter = float(self._scatter.clamp_min(0).sum())
        spread = scatter / (self.count * (self.count - 1)) if self.count > 1 else math.inf
        return Diagonal(mean, math.sqrt(spread))


class _Draws:
    """What probes told so far, each with what known pairs contribute.

    Args:
        operator: Symmetric, n × n.
        blocks: Coordinates (start, stop) of each block.
        generator: Draws the probes.
        known: Eigenpairs whose part is exact.
    """

    def __init__(
        self,
        operator: LinearOperator,
        blocks: Sequence[tuple[int, int]],
        generator: torch.Generator,
        known: Pairs | None,
    ) -> None:
        self._operator, self._blocks = operator, blocks
        self._generator, self._known = generator, known
        self._exact, self._slack = _known_part(known, blocks)
        self._entries = _Entries(torch.empty(operator.shape[0], device=operator.device))
        self.rows = np.zeros((0, len(self._exact)))

    def up_to(self, count: int, pace: float, task: progress.Task) -> None:
        """Draw until there are so many, or the budget is spent."""
        while len(self.rows) < count and not (len(self.rows) > 1 and spent()):
            more = min(BLOCK, count - len(self.rows), _payable(len(self.rows), pace))
            products, images = _draw(self._operator, more, self._generator, self._known)
            self._entries.add(products)
            columns = _columns(products, images, self._blocks)
            self.rows = np.vstack([self.rows, self._exact + columns])
            task.advance(more)

    def traces(self, level: float, status: Status) -> Traces:
        """Return the estimates, each interval at the level of one look."""
        known = self._known
        deflated = f", {len(known.values)} pairs deflated" if known is not None else ""
        method = f"Hutchinson, {len(self.rows)} Rademacher probes{deflated}"
        trace, _, *parts = (
            _reported(draws, level, method, float(slack))
            for draws, slack in zip(self.rows.T, self._slack, strict=True)
        )
        squared = _positive(self.rows[:, 1], float(self._exact[1]), level, method)
        diagonal = self._entries.diagonal(known)
        return Traces(replace(trace, status=status), squared, tuple(parts), diagonal)


def expected_probes(*, tolerance: float, most: int) -> int:
    """Return about how many probes a trace takes: as 1 / tolerance².

    At a tolerance of a tenth, the geometric mean of the fewest and the most.
    """
    most = max(most, FIRST_PROBES)
    about = math.sqrt(FIRST_PROBES * most) * (0.1 / tolerance) ** 2
    return round(min(max(about, FIRST_PROBES), most))


def estimate_traces(
    operator: LinearOperator,
    *,
    blocks: Sequence[tuple[int, int]],
    generator: torch.Generator,
    known: Pairs | None = None,
    tolerance: float = 0.05,
    max_probes: int = 128,
    pace: float = 0.0,
) -> Traces:
    """Return Tr A, ‖A‖²_F, the diagonal and the traces of its blocks.

    Numbers have Student's t interval, the Frobenius norm that of a scaled χ².

    What known eigenpairs contribute is added exactly; of the rest B = PAP, with P the projector
    off their span, zᵀBz, ‖Bz‖² and zᵦᵀ(Bz)ᵦ for random signs z are unbiased estimates. The width
    of the trace's interval is looked at only after 32 probes and whenever their number has doubled,
    and the level is shared among the looks (Bonferroni), so that stopping early does not cost
    coverage. Where so many probes are needed that the columns of A cost no more, A is asked for
    these instead, never for more than `max_probes`, and everything is exact.

    Args:
        operator: Symmetric, n × n.
        known: Eigenpairs, orthonormal; their residuals enter the intervals of the blocks.
        blocks: Coordinates (start, stop) of each block.
        generator: Draws the probes.
        tolerance: Half-width of the trace's interval at which to stop, relative to the trace.
        max_probes: The budget, at least 32 unless the operator is smaller.
        pace: Seconds that a product takes, about, so that a budget of time is kept.

    Cost: one product a probe; n products where everything is exact, beside the probes before.

    Source: Hutchinson 1990; Girard 1989; Bekas, Kokiopoulou & Saad 2007 (diagonal); Gambhir,
    Stathopoulos & Orginos 2017, arXiv 1603.05988 (deflation).
    """
    looks, size = _looks(max_probes), operator.shape[0]
    level, settled = 1 - 0.05 / len(looks), False
    if size <= looks[0] and affords(size):
        return _exactly(operator, blocks)
    drawn = _Draws(operator, blocks, generator, known)
    with progress.task("trace", max_probes) as task:
        for look in looks:
            drawn.up_to(look, pace, task)
            found = Estimate.mean(drawn.rows[:, 0], method="", level=level)
            settled = found.half_width <= tolerance * abs(found.value)
            if settled or spent():
                break
            wanted = look * (found.half_width / max(tolerance * abs(found.value), TINY)) ** 2
            few = size <= max_probes and (look == max_probes or size <= wanted)
            if few and affords(size):
                return _exactly(operator, blocks)
    return drawn.traces(level, Status.CONVERGED if settled else _unsettled())


def _payable(drawn: int, pace: float) -> int:
    """Return how many probes the budget lasts for at once; two in all whatever is left."""
    if spent():
        return max(2 - drawn, 1)
    left, seconds = left_products(), left_seconds()
    most = BLOCK if left is None else left
    if seconds is not None and seconds < most * pace:
        most = int(seconds / pace)
    return max(2 - drawn, 1, most)


def _unsettled() -> Status:
    return Status.BUDGET_SPENT if spent() else Status.NOT_CONVERGED


def _exactly(operator: LinearOperator, blocks: Sequence[tuple[int, int]]) -> Traces:
    """Return everything from the columns of the matrix, one by one: n products."""
    size = operator.shape[0]
    like = torch.empty(size, dtype=torch.float64, device=operator.device)
    diagonal, squared = torch.zeros_like(like), 0.0
    with progress.task("trace", size) as task:
        for rows in torch.arange(size, device=operator.device).split(BLOCK):
            units = torch.zeros(len(rows), size, dtype=operator.dtype, device=operator.device)
            units[torch.arange(len(rows), device=operator.device), rows] = 1
            columns = operator.matmat(units.T).T.double()
            diagonal[rows] = columns.gather(1, rows[:, None]).squeeze(1)
            squared += float(columns.square().sum())
            task.advance(len(rows))
    method = f"exact: {size} unit vectors"
    sums = [float(diagonal.sum()), squared, *(float(diagonal[a:b].sum()) for a, b in blocks)]
    trace, square, *parts = (replace(Estimate.exact(one, method), samples=size) for one in sums)
    return Traces(trace, square, tuple(parts), Diagonal(diagonal, 0.0))


def _looks(max_probes: int) -> list[int]:
    """Return after how many probes the width is looked at."""
    looks = [min(FIRST_PROBES, max_probes)]
    while looks[-1] < max_probes:
        looks.append(min(2 * looks[-1], max_probes))
    return looks


def _known_part(
    known: Pairs | None, blocks: Sequence[tuple[int, int]]
) -> tuple[np.ndarray, np.ndarray]:  # (2 + blocks,) each
    """Return what known pairs contribute to every estimate, and how far it may be off."""
    exact, slack = np.zeros(2 + len(blocks)), np.zeros(2 + len(blocks))
    if known is None:
        return exact, slack
    exact[0] = known.values.sum()
    exact[1] = np.square(known.values).sum() + 2 * np.square(known.residuals).sum()
    for i, (start, stop) in enumerate(blocks, start=2):
        part = known.vectors[:, start:stop]
        share = torch.linalg.vector_norm(part, dim=1, dtype=torch.float64).cpu().numpy()
        exact[i] = (known.values * share**2).sum()
        slack[i] = 2 * (known.residuals * share).sum()
    return exact, slack


def _reported(draws: np.ndarray, level: float, method: str, slack: float) -> Estimate:
    """Return the estimate with an interval at the shared level, stated as 95 % overall."""
    wide = Estimate.mean(draws, method=method, level=level)
    interval = (wide.interval[0] - slack, wide.interval[1] + slack)
    return replace(wide, level=0.95, interval=interval, solver=interval)


def _positive(draws: np.ndarray, exact: float, level: float, method: str) -> Estimate:
    """Return the mean of skewed positive draws: what is not exact is taken as a scaled χ²."""
    rest = draws - exact
    mean, variance = float(rest.mean()), float(rest.var(ddof=1)) if len(rest) > 1 else math.inf
    reported = _reported(draws, level, method, 0.0)
    if not 0 < variance < math.inf or mean <= 0:
        return reported
    freedom = 2 * mean**2 / variance * len(rest)
    tail = (1 - level) / 4  # half of what is due: the variance is itself an estimate
    low, high = (mean * freedom / float(chdtri(freedom, t)) for t in (tail, 1 - tail))
    interval = (exact + low, exact + high)
    return replace(reported, interval=interval, solver=interval)


def _draw(
    operator: LinearOperator, count: int, generator: torch.Generator, known: Pairs | None
) -> tuple[Tensor, Tensor]:  # (count, n) each
    """Return z ∘ Bz and Bz for random signs z."""
    like = torch.empty(0, dtype=operator.dtype, device=operator.device)
    signs = rademacher(count, operator.shape[0], like=like, generator=generator)
    images = _free(operator.matmat(_free(signs, known).T).T, known).double()
    return signs * images, images


def _columns(
    products: Tensor, images: Tensor, blocks: Sequence[tuple[int, int]]
) -> np.ndarray:  # (count, 2 + blocks)
    columns = [products.sum(1), images.square().sum(1)]
    columns += [products[:, start:stop].sum(1) for start, stop in blocks]
    return torch.stack(columns, dim=1).cpu().numpy()


def _free(rows: Tensor, known: Pairs | None) -> Tensor:
    """Return rows (p, n) without their part in the span of the known pairs."""
    if known is None:
        return rows
    inside = torch.stack([dots(known.vectors, row) for row in rows]).to(rows.dtype)
    return rows - inside @ known.vectors
