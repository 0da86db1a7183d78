"""Where single eigenvectors lie: in which layers, over how many coordinates; with their doubt."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from landscape.estimate import Estimate, Interval, Status
from landscape.linalg.eigenpairs import Eigenpairs
from landscape.linalg.products import gram
from landscape.spectra.subspace import turn

CLUSTER = 8  # most eigenvalues that are taken together, where single ones are too near
RESOLVED = 0.1  # sine of the angle from which on a subspace is known well enough


@dataclass(frozen=True, kw_only=True)
class Direction:
    """Where one eigenvector v lies.

    Args:
        mass: Σ vᵢ² over each layer, summing to one.
        participation: 1 / Σ vᵢ⁴: over how many coordinates it is spread, 1 … n.
    """

    mass: tuple[Estimate, ...]
    participation: Estimate


def directions(found: Eigenpairs, layers: Sequence[tuple[int, int]]) -> tuple[Direction, ...]:
    """Return where each eigenvector at the top lies, with bounds of what its error may change.

    An eigenvector is within the angle of `turn` of the computed one, and no nearer or farther than
    that from the coordinates of a layer. Where eigenvalues are so near that their vectors are
    interchangeable, the vector may be any one within the same angle of their common span, whose
    least and largest mass are eigenvalues of V P Vᵀ, with P the projection on the layer. Where
    nothing is known, as of the last pair, whose next eigenvalue was not sought, the interval is all
    that there is.

    Args:
        found: The eigenpairs.
        layers: Coordinates (start, stop) of each layer.

    Cost: k² n for k pairs.
    """
    within = torch.stack([gram(found.top.vectors[:, start:stop]) for start, stop in layers])
    lengths = torch.linalg.vector_norm(found.top.vectors, dim=1, dtype=torch.float64)
    within = (within / torch.outer(lengths, lengths)).cpu().numpy()  # (layers, k, k)
    return tuple(
        Direction(mass=_masses(found, within, rank), participation=_participation(found, rank))
        for rank in range(len(lengths))
    )


def _masses(found: Eigenpairs, within: np.ndarray, rank: int) -> tuple[Estimate, ...]:
    values = np.clip(within[:, rank, rank], 0, 1)
    low, high = np.zeros(len(values)), np.ones(len(values))
    for first, last in _clusters(found.top.values, rank):
        slack = turn(found, first, last)
        angle, part = math.asin(slack), slice(first, last + 1)
        ends = np.arcsin(np.sqrt(np.linalg.eigvalsh(within[:, part, part]).clip(0, 1)))
        low = np.maximum(low, np.sin(np.maximum(ends[:, 0] - angle, 0)) ** 2)
        high = np.minimum(high, np.sin(np.minimum(ends[:, -1] + angle, math.pi / 2)) ** 2)
        if slack <= RESOLVED:
            break
    low, high = np.minimum(low, values), np.maximum(high, values)
    told = "squares of the computed eigenvector; the Davis-Kahan bound of its turn"
    return tuple(
        _bounded(found, rank, float(value), (float(least), float(most)), told)
        for value, least, most in zip(values, low, high, strict=True)
    )


def _clusters(values: np.ndarray, rank: int) -> Iterator[tuple[int, int]]:
    """Yield first and last of ever more neighbours of an eigenvalue, the nearest ones first."""
    first = last = rank
    for _ in range(CLUSTER):
        yield first, last
        above = values[first - 1] - values[first] if first else math.inf
        below = values[last] - values[last + 1] if last + 1 < len(values) else math.inf
        if above == below == math.inf:
            return
        first, last = (first - 1, last) if above < below else (first, last + 1)


def _participation(found: Eigenpairs, rank: int) -> Estimate:
    """Return 1 / Σ vᵢ⁴, with bounds of Σ wᵢ⁴ for w = v cos θ + t sin θ, t a unit vector across v.

    From below by the tangent at v, as Σ wᵢ⁴ is convex, with |Σ vᵢ³ tᵢ| ≤ √(Σ vᵢ⁶ − (Σ vᵢ⁴)²); from
    above term by term, with Σ vᵢ² tᵢ² ≤ max vᵢ² and Σ |vᵢ tᵢ³| ≤ max |vᵢ|.
    """
    vector = found.top.vectors[rank].double()
    square = vector.square() / vector.square().sum()
    fourth, sixth = float(square.square().sum()), float(square.pow(3).sum())
    peak, sine = math.sqrt(float(square.max())), turn(found, rank, rank)
    slope = 4 * sine * math.sqrt(max(sixth - fourth**2, 0.0))
    tangent = fourth - slope - 4 * fourth * (1 - math.sqrt(1 - sine**2))
    most = fourth + slope + 6 * (peak * sine) ** 2 + 4 * peak * sine**3 + sine**4
    least, most = max(tangent, 1 / len(square)), min(most, 1.0)
    told = "1 / Σ v⁴ of the computed eigenvector; the Davis-Kahan bound of its turn"
    value = 1 / fourth
    return _bounded(found, rank, value, (min(1 / most, value), max(1 / least, value)), told)


def _bounded(
    found: Eigenpairs, rank: int, value: float, interval: Interval, method: str
) -> Estimate:
    residual = float(found.top.residuals[rank])
    settled = found.complete and residual <= found.tolerance
    status = Status.CONVERGED if settled else found.status
    return Estimate.within(value, interval, method, status=status)
