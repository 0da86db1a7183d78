"""How unlike the curvatures of the layers are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch

from landscape.estimate import Estimate, Status, jackknife_half_width
from landscape.linalg.density import SpectralMeasure, spectral_measure
from landscape.linalg.eigenpairs import eigenpairs
from landscape.linalg.lanczos import Quadrature
from landscape.linalg.operator import LinearOperator
from landscape.spectra.divergence import jensen_shannon, log_density

PER_LARGEST = 40  # products that a block's largest eigenvalue takes, about
LARGEST_TOLERANCE = 1e-2  # relative residual of a block's largest eigenvalue


@dataclass(frozen=True, kw_only=True)
class BlockSpectrum:
    """The spectrum of one diagonal block of the curvature."""

    name: str
    parameters: int
    largest: Estimate
    trace_per_parameter: Estimate
    effective_rank: Estimate


@dataclass(frozen=True, kw_only=True)
class Heterogeneity:
    """How unlike the blocks' spectra are.

    Args:
        blocks: One spectrum per layer.
        distance: JS₀, the mean over pairs of blocks of the Jensen-Shannon distance between their
            densities on the axis z = sign(λ) log₁₀(1 + |λ|/10⁻⁴), kernel 0.1 decades.
        spread: log₁₀ of the largest over the smallest λ₁ of a block, among the positive ones.
        flat: Blocks without positive curvature, which the spread leaves out.
    """

    blocks: tuple[BlockSpectrum, ...]
    distance: Estimate
    spread: Estimate
    flat: int


@dataclass(frozen=True)
class MeasuredBlock:
    """A block's quadratures, and what they tell of it; exact where the block was formed."""

    summary: BlockSpectrum
    measure: SpectralMeasure


def measure_block(
    operator: LinearOperator,
    name: str,
    *,
    probes: int,
    steps: int,
    generator: torch.Generator,
) -> MeasuredBlock:
    """Return the spectrum of a block: dense where that costs less than its quadrature.

    Args:
        operator: The block, symmetric, p_b × p_b.
        name: Of the layer.
        probes: Random vectors for the quadrature.
        steps: Lanczos steps for each.
        generator: Draws them.

    Cost: p_b products, or p·s for the quadrature and some tens for λ₁.
    """
    size = operator.shape[0]
    if size <= probes * steps:
        return _dense_block(operator, name)
    measure = spectral_measure(operator, probes=probes, steps=steps, generator=generator)
    pairs = eigenpairs(operator, top=1, generator=generator, tolerance=LARGEST_TOLERANCE)
    value, residual = float(pairs.top.values[0]), float(pairs.top.residuals[0])
    doubt = residual + pairs.noise
    converged = pairs.complete and residual <= pairs.tolerance
    summary = BlockSpectrum(
        name=name,
        parameters=size,
        largest=Estimate.within(
            value,
            (value - doubt, value + doubt),
            "thick-restart Lanczos on the block",
            residual=residual,
            status=Status.CONVERGED if converged else pairs.status,
        ),
        trace_per_parameter=Estimate.mean(
            measure.moment(), method=f"{probes} random vectors on the block"
        ),
        effective_rank=measure.effective_rank(),
    )
    return MeasuredBlock(summary, measure)


def expected_products(sizes: Iterable[int], *, probes: int, steps: int) -> int:
    """Return about how many products the blocks of some sizes take."""
    return sum(min(size, probes * steps + PER_LARGEST) for size in sizes)


def layer_heterogeneity(
    operator: LinearOperator,
    layers: Sequence[tuple[str, int, int]],
    *,
    probes: int,
    steps: int,
    generator: torch.Generator,
) -> Heterogeneity | None:
    """Return how unlike the diagonal blocks of layers (name, start, stop) are.

    Cost: for each layer that of `measure_block`.
    """
    blocks = []
    for name, start, stop in layers:
        kept = torch.arange(start, stop, device=operator.device)
        block = operator.restricted(kept)
        blocks.append(measure_block(block, name, probes=probes, steps=steps, generator=generator))
    return heterogeneity(blocks)


def heterogeneity(blocks: Sequence[MeasuredBlock]) -> Heterogeneity | None:
    """Return how unlike some blocks are; None when there are fewer than two.

    The interval of the distance is Student's on the jackknife over probes; that of the spread
    carries the residuals of both ends through.

    Source: Zhang et al. 2024, arXiv 2402.16788.

    Differs from the source: a distance rather than a divergence, on an axis that is fixed here, so
    that values published elsewhere are on another scale.
    """
    if len(blocks) < 2:
        return None
    summaries = tuple(block.summary for block in blocks)
    positive = [one.largest for one in summaries if one.largest.value > 0]
    return Heterogeneity(
        blocks=summaries,
        distance=_mean_distance([_densities(block.measure) for block in blocks]),
        spread=_spread(positive),
        flat=len(summaries) - len(positive),
    )


def _dense_block(operator: LinearOperator, name: str) -> MeasuredBlock:
    size = operator.shape[0]
    matrix = operator.to_dense().double().cpu()
    values = torch.linalg.eigvalsh((matrix + matrix.T) / 2).numpy()
    quadrature = Quadrature(values, np.full(size, 1 / size), np.zeros(size))
    absolute, square = np.abs(values).sum(), np.square(values).sum()
    told = "the block's dense matrix"
    summary = BlockSpectrum(
        name=name,
        parameters=size,
        largest=Estimate.exact(float(values[-1]), told),
        trace_per_parameter=Estimate.exact(float(values.mean()), told),
        effective_rank=Estimate.exact(float(absolute**2 / square) if square else 0.0, told),
    )
    return MeasuredBlock(summary, SpectralMeasure((quadrature,), size))


def _densities(measure: SpectralMeasure) -> np.ndarray:  # (p, 600)
    return np.stack([log_density(one.nodes, one.weights) for one in measure.quadratures])


def _mean_distance(densities: Sequence[np.ndarray]) -> Estimate:
    """Return JS₀; what was formed exactly has one density, which every left-out probe keeps."""
    probes = max(len(one) for one in densities)

    def distance(left_out: int | None) -> float:
        means = [
            one.mean(0)
            if left_out is None or len(one) == 1
            else np.delete(one, left_out, 0).mean(0)
            for one in densities
        ]
        pairs = [jensen_shannon(p, q) for p, q in combinations(means, 2)]
        return float(np.mean(pairs))

    value = distance(None)
    if probes == 1:
        return Estimate.exact(value, "dense blocks")
    half = jackknife_half_width(value, np.array([distance(i) for i in range(probes)]))
    interval = (max(value - half, 0.0), min(value + half, 1.0))
    return Estimate(
        value=value,
        kind="estimate",
        interval=interval,
        solver=interval,
        samples=probes,
        method="stochastic Lanczos quadrature of the blocks, jackknife over probes",
    )


def _spread(largest: Sequence[Estimate]) -> Estimate:
    if len(largest) < 2:
        return Estimate.exact(0.0, "fewer than two blocks have positive curvature")
    low, high = min(largest, key=float), max(largest, key=float)
    value = math.log10(high.value / low.value)
    ends = [
        math.log10(b / a) if a > 0 and b > 0 else math.nan
        for a, b in ((low.interval[1], high.interval[0]), (low.interval[0], high.interval[1]))
    ]
    return Estimate(
        value=value,
        kind="estimate" if ends[0] != ends[1] else "exact",
        interval=(ends[0], ends[1]),
        level=1.0,
        solver=(ends[0], ends[1]),
        method="largest over smallest λ₁ of a block, in decades",
    )
