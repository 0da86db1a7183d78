"""The spectral density by stochastic Lanczos quadrature, with bands.

F(t) is the fraction of eigenvalues ≤ t. For a start vector uniform on the sphere, the weight that
it gives to the eigenvalues ≤ t is Beta(nF/2, n(1−F)/2) distributed, whatever the eigenvectors are.
So the mean over p probes deviates from F like the empirical distribution of p(n+2)/2 samples, and
Kolmogorov's law gives a simultaneous band. What s Lanczos steps leave open is bounded by the
Chebyshev-Markov-Stieltjes inequalities, and added.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import chdtri, kolmogi

from landscape.estimate import Estimate, Status, jackknife_half_width
from landscape.linalg.lanczos import Quadrature, gauss_quadratures
from landscape.linalg.operator import LinearOperator
from landscape.linalg.probes import spherical

GRID_POINTS = 400
KERNEL_WIDTH = 0.005  # of the range
LEAST_STEPS = 8  # a run that the budget ended before has no density worth the name
BULK = (0.01, 0.99)  # quantiles between which the bulk lies


@dataclass(frozen=True)
class Distribution:
    """A cumulative distribution of eigenvalues with a simultaneous band."""

    grid: np.ndarray  # (g,)
    value: np.ndarray  # (g,)
    lower: np.ndarray  # (g,)
    upper: np.ndarray  # (g,)


@dataclass(frozen=True)
class Density:
    """A density of eigenvalues, smoothed by a Gaussian kernel, with a pointwise interval."""

    grid: np.ndarray  # (g,)
    value: np.ndarray  # (g,)
    lower: np.ndarray  # (g,)
    upper: np.ndarray  # (g,)
    width: float  # least standard deviation of the kernel, in units of the eigenvalues
    status: Status = Status.CONVERGED  # `budget_spent` after too few steps: not to be shown


@dataclass(frozen=True)
class SpectralMeasure:
    """Quadratures of p probes on the sphere of an n × n operator."""

    quadratures: tuple[Quadrature, ...]
    size: int

    @property
    def probes(self) -> int:
        """Return the number of probes."""
        return len(self.quadratures)

    @property
    def steps(self) -> int:
        """Return the Lanczos steps that every probe took, unless its Krylov space ended before."""
        cut = [len(q.nodes) for q in self.quadratures if q.cut]
        return min(cut) if cut else max(len(q.nodes) for q in self.quadratures)

    @property
    def status(self) -> Status:
        """Return whether there were steps enough for a density: all, or at least eight."""
        cut = any(q.cut for q in self.quadratures) and self.steps < LEAST_STEPS
        return Status.BUDGET_SPENT if cut else Status.CONVERGED

    @property
    def range(self) -> tuple[float, float]:
        """Return the smallest and the largest node."""
        nodes = np.concatenate([q.nodes for q in self.quadratures])
        return float(nodes.min()), float(nodes.max())

    def moment(
        self, function: Callable[[np.ndarray], np.ndarray] | None = None, power: int = 1
    ) -> np.ndarray:  # (p,)
        """Return Σ f(λ)^power / n as each probe estimates it."""
        return np.array(
            [
                np.sum(q.weights * (function(q.nodes) if function else q.nodes) ** power)
                for q in self.quadratures
            ]
        )

    def distribution(self, grid: np.ndarray, level: float = 0.95) -> Distribution:
        """Return F on a grid (g,) with a simultaneous band of the given level.

        Source: Chen, Trogdon & Ubaru 2021, arXiv 2105.06595 (quadrature bounds); the law of the
        probes is that of Dirichlet(½, …, ½) sums.
        """
        parts = [_stieltjes(q, grid) for q in self.quadratures]
        value, lower, upper = (np.mean([part[i] for part in parts], axis=0) for i in range(3))
        half = float(kolmogi(1 - level)) * math.sqrt(2 / (self.probes * (self.size + 2)))
        if self.size == 1:
            half = 0.0
        return Distribution(grid, value, np.clip(lower - half, 0, 1), np.clip(upper + half, 0, 1))

    def density(self, grid: np.ndarray, width: float, level: float = 0.95) -> Density:
        """Return the smoothed density on a grid (g,) with pointwise intervals.

        Each node is spread by a Gaussian of the given width, or of its own residual where that is
        larger: a node that is no eigenvalue yet stands for what lies around it. A smoothed value is
        a weighted sum of χ²₁ variables; its interval is that of the scaled χ² with the same mean
        and variance (Satterthwaite 1946).
        """
        nodes = np.concatenate([q.nodes for q in self.quadratures])
        weights = np.concatenate([q.weights for q in self.quadratures]) / self.probes
        spread = np.maximum(np.concatenate([q.residuals for q in self.quadratures]), width)
        scaled = (grid[:, None] - nodes[None, :]) / spread
        kernel = np.exp(-0.5 * scaled**2) / (spread * math.sqrt(2 * math.pi))
        value, square = kernel @ weights, kernel**2 @ weights
        with np.errstate(divide="ignore", invalid="ignore"):
            freedom = self.probes * self.size * value**2 / square
        freedom = np.clip(np.nan_to_num(freedom), self.probes, 1e12)  # one eigenvalue has p
        tail = (1 - level) / 4  # half of what is due: the freedom is itself an estimate
        lower = value * freedom / chdtri(freedom, tail)
        upper = value * freedom / np.maximum(chdtri(freedom, 1 - tail), 1e-300)
        return Density(grid, value, lower, np.minimum(upper, 1e300), width, self.status)

    def effective_rank(self, level: float = 0.95) -> Estimate:
        """Return (Σ|λ|)² / Σλ²: how many equal eigenvalues would spread as much.

        The interval is Student's on the jackknife over probes of the logarithm; all there is after
        too few steps, as a few nodes stand for |λ| with a bias that probes do not tell.
        """
        absolute, square = self.moment(np.absolute), self.moment(power=2)
        if not square.any() or self.probes < 2:
            return Estimate(
                value=0.0 if not square.any() else math.nan,
                kind="estimate",
                interval=(0.0, float(self.size)),
                samples=self.probes,
                method="stochastic Lanczos quadrature",
            )

        def log_rank(keep: np.ndarray) -> float:
            return math.log(self.size * absolute[keep].mean() ** 2 / square[keep].mean())

        index = np.arange(self.probes)
        value = log_rank(index >= 0)
        left_out = np.array([log_rank(index != i) for i in index])
        half = jackknife_half_width(value, left_out, level)
        interval = (math.exp(value - half), min(math.exp(value + half), float(self.size)))
        if not self.status.settled:
            interval = (1.0, float(self.size))
        return Estimate(
            value=math.exp(value),
            kind="estimate",
            interval=interval,
            level=level,
            solver=interval,
            samples=self.probes,
            status=self.status,
            method="stochastic Lanczos quadrature, jackknife over probes",
        )

    def quantile_of_magnitude(self, fraction: float, level: float = 0.95) -> tuple[float, float]:
        """Return an interval for a quantile of |λ|, from the band of its distribution."""
        magnitudes = SpectralMeasure(tuple(_folded(q) for q in self.quadratures), self.size)
        points = np.unique(np.concatenate([q.nodes for q in magnitudes.quadratures]))
        band = magnitudes.distribution(points, level)
        low = points[np.searchsorted(band.upper, fraction)] if band.upper[0] < fraction else 0.0
        reached = int(np.searchsorted(band.lower, fraction))
        return float(low), float(points[reached]) if reached < len(points) else math.inf


def spectral_measure(
    operator: LinearOperator,
    *,
    probes: int,
    steps: int,
    generator: torch.Generator,
    memory_bytes: int | None = None,
) -> SpectralMeasure:
    """Return the spectral measure of an operator from random probes.

    Args:
        operator: Symmetric, n × n.
        probes: Start vectors p, uniform on the sphere.
        steps: Lanczos steps s for each.
        generator: Draws the probes.
        memory_bytes: What the basis of p·s vectors may take, a quarter of what is free by default;
            where it takes more, some probes advance at a time.

    Cost: p·s products.
    """
    size = operator.shape[0]
    like = torch.empty(size, dtype=operator.dtype, device=operator.device)
    starts = spherical(probes, size, like=like, generator=generator)
    return SpectralMeasure(gauss_quadratures(operator, starts, steps, memory_bytes), size)


def even_grid(measure: SpectralMeasure) -> tuple[np.ndarray, float]:
    """Return an even grid over the whole spectrum and its kernel tails, and the kernel's width."""
    return _grid(*measure.range)


def bulk_grid(measure: SpectralMeasure) -> tuple[np.ndarray, float] | None:
    """Return an even grid over the central 98 % of the eigenvalues; None when they are spread out.

    They are when they take more than a fifth of the range.
    """
    nodes = np.concatenate([q.nodes for q in measure.quadratures])
    weights = np.concatenate([q.weights for q in measure.quadratures]) / measure.probes
    order = np.argsort(nodes)
    low, high = np.interp(BULK, np.cumsum(weights[order]), nodes[order])
    smallest, largest = measure.range
    narrow = 0 < high - low < 0.2 * (largest - smallest)
    return _grid(float(low), float(high)) if narrow else None


def _grid(low: float, high: float) -> tuple[np.ndarray, float]:
    extent = max(high - low, 1e-6 * max(abs(low), abs(high)), 1e-30)
    width = KERNEL_WIDTH * extent
    return np.linspace(low - 5 * width, high + 5 * width, GRID_POINTS), width


def _stieltjes(q: Quadrature, grid: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the quadrature's distribution on a grid, and its Chebyshev-Markov-Stieltjes bounds."""
    sums = np.concatenate([[0.0], np.cumsum(q.weights)])
    below = np.searchsorted(q.nodes, grid, side="right")  # nodes ≤ t
    lower = sums[np.maximum(below - 1, 0)]
    upper = sums[np.minimum(below + 1, len(q.nodes))]
    return sums[below], lower, upper


def _folded(q: Quadrature) -> Quadrature:
    order = np.argsort(np.abs(q.nodes))
    return Quadrature(np.abs(q.nodes)[order], q.weights[order], q.residuals[order], q.cut)
