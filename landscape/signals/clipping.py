"""What the lengths of the samples' gradients tell: quantiles, diversity, and what clipping does."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.special import bdtrik  # pyright: ignore[reportMissingTypeStubs]
from torch import Tensor

from landscape.estimate import Estimate, Interval
from landscape.signals.intervals import jackknife, over_samples, ratio_of_means, share
from landscape.signals.noise import parts_of
from landscape.signals.sample_gradients import SampleGradients
from landscape.signals.samples import LEAST_GROUPS, Samples

DRAWN = 65  # quantiles of a curve
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, kw_only=True)
class Clipped:
    """What clipping the gradient of every sample to a length does to their mean.

    Args:
        threshold: C.
        origin: Why this one.
        fraction: Share of samples with ‖gᵢ‖ > C.
        cosine: cos(mean of gᵢ min(1, C/‖gᵢ‖), g): below 1 the direction is biased.
        ratio: Length of that mean over ‖g‖.
    """

    threshold: float
    origin: str
    fraction: Estimate
    cosine: Estimate
    ratio: Estimate


@dataclass(frozen=True, kw_only=True)
class PerSample:
    """The lengths of the gradients of single samples.

    Args:
        samples: N.
        quantiles: ‖gᵢ‖ at 0.05 … 0.95.
        intervals: Of the quantiles, for other samples of the same kind.
        mean: E ‖gᵢ‖.
        diversity: N Δ = Σ‖gᵢ‖² / ‖Σ gᵢ‖² · N, which is 1 for samples that agree.
        growth: ρ = E‖gᵢ‖² / ‖g‖², the constant of strong growth, without bias.
        lengths: ‖gᵢ‖ at 65 even probabilities from 0 to 1.
        mean_gradient: ‖g‖ of their mean.
        clipped: One for each threshold.
        way: How the gradients were computed.
    """

    samples: int
    quantiles: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    mean: Estimate
    diversity: Estimate
    growth: Estimate
    lengths: np.ndarray  # (65,)
    mean_gradient: float
    clipped: tuple[Clipped, ...]
    way: str


def lengths_of(found: SampleGradients, clipped: tuple[Clipped, ...]) -> PerSample:
    """Return what the lengths tell.

    Gradient diversity n Δ = n Σ‖gᵢ‖² / ‖Σ gᵢ‖² counts how many samples can be averaged before they
    repeat one another (Yin et al. 2018, arXiv 1706.05699); n Δ = 1 + (n − 1)/n · B_simple with the
    plain, biased estimate of B_simple.
    """
    norms, number = found.norms, len(found.squares)
    parts = parts_of(found.squares, number * found.dots, 1)
    told = f"gradients of {number:,} samples"
    return PerSample(
        samples=number,
        quantiles={f"{q:g}": float(np.quantile(norms, q)) for q in QUANTILES},
        intervals={f"{q:g}": quantile_interval(norms, q) for q in QUANTILES},
        mean=over_samples(norms, told),
        diversity=_diversity(found, told),
        growth=ratio_of_means(found.squares, parts.square, told, samples=number),
        lengths=np.quantile(norms, np.linspace(0, 1, DRAWN)),
        mean_gradient=math.sqrt(max(float(found.dots.mean()), 0.0)),
        clipped=clipped,
        way=found.way,
    )


def _diversity(found: SampleGradients, method: str) -> Estimate:
    """Return N Δ of these very samples: a number that depends on how many they are."""
    whole = float(found.dots.mean())  # ‖g‖²
    value = float(found.squares.mean()) / whole if whole > 0 else math.nan
    return Estimate(
        value=value,
        kind="exact",
        interval=(value, value),
        level=1.0,
        samples=len(found.squares),
        method=f"{method}, of these samples",
        reason=None if whole > 0 else "the gradient is zero",
    )


def quantile_interval(values: np.ndarray, q: float, *, level: float = 0.95) -> Interval:
    """Return an interval for a quantile from order statistics; open where samples are too few.

    Source: Conover 1999, Practical Nonparametric Statistics, §3.2.
    """
    number, tail = len(values), (1 - level) / 2
    ordered = np.sort(values)
    below, above = 0.0, math.inf
    if (1 - q) ** number <= tail:  # P(Bin(N, q) ≤ k) ≤ tail for some k ≥ 0
        below = float(ordered[math.floor(float(bdtrik(tail, number, q)))])
    if q**number <= tail:
        above = float(ordered[math.ceil(float(bdtrik(1 - tail, number, q)))])
    return below, above


def clip(samples: Samples, found: SampleGradients, threshold: float, origin: str) -> Clipped:
    """Return what clipping to a length does to the mean gradient.

    Args:
        samples: The samples.
        found: Their gradients.
        threshold: C > 0.
        origin: Why this one.

    The intervals of direction and length leave out one of sixteen groups of samples at a time.
    Cost: a forward pass over the samples and a backward pass for every batch and group.

    Source: Abadi et al. 2016, arXiv 1607.00133; Chen, Wu & Hong 2020, arXiv 2006.15429 (bias).
    """
    number = len(found.norms)
    weights = torch.from_numpy(np.minimum(1.0, threshold / np.maximum(found.norms, 1e-300)))
    groups = samples.groups()
    if groups < LEAST_GROUPS:
        told, groups = f"{number:,} samples, too few to compare groups", 1
    else:
        told = f"{number // groups * groups:,} samples, {groups} groups left out in turn"
    cut = samples.group_means(weights, groups)
    plain = samples.plain(groups)
    sums = cut.sum(0), plain.sum(0)
    without = [_compared(sums[0] - a, sums[1] - b) for a, b in zip(cut, plain, strict=True)]
    if groups > 1 and number % groups:  # what is in no group counts all the same
        sums = samples.group_means(weights, 1)[0], samples.plain(1)[0]
    cosine, ratio = (
        jackknife(value, left, told, samples=number)
        for value, left in zip(_compared(*sums), np.array(without).T, strict=True)
    )
    ends = (max(cosine.interval[0], -1.0), min(cosine.interval[1], 1.0))
    cosine = replace(cosine, interval=ends, sampling=ends)
    return Clipped(
        threshold=threshold,
        origin=origin,
        fraction=share(int((found.norms > threshold).sum()), number, f"{number:,} samples"),
        cosine=cosine,
        ratio=ratio,
    )


def _compared(cut: Tensor, plain: Tensor) -> tuple[float, float]:
    """Return cosine and ratio of lengths of two vectors."""
    lengths = float(cut.norm()), float(plain.norm())
    if not lengths[1] > 0 or not lengths[0] > 0:
        return math.nan, math.nan
    return float(cut @ plain) / (lengths[0] * lengths[1]), lengths[0] / lengths[1]
