"""Directions about one checkpoint: random, eigenvectors of the Hessian, the gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from landscape.errors import ModelError
from landscape.linalg.products import dots, norm
from landscape.operators.extremes import extreme_eigenvectors
from landscape.paths.constant import best_constant
from landscape.subject.subject import Subject
from landscape.surfaces.normalisation import Normalise, gaussian, like_weights


@dataclass(frozen=True, eq=False, kw_only=True)
class Directions:
    """Named vectors of weight space (n,)."""

    vectors: tuple[Tensor, ...]
    names: tuple[str, ...]

    @property
    def units(self) -> tuple[Tensor, ...]:
        """Return them with length one."""
        return tuple(one / norm(one) for one in self.vectors)


def random_directions(
    subject: Subject, *, count: int, normalise: Normalise, biases: bool, seed: int
) -> Directions:
    """Return random directions as long as the weights of a subject's checkpoint.

    The same seed gives the same draws for networks of the same shapes.
    """
    generator = torch.Generator().manual_seed(seed)
    network, point = subject.network, subject.point
    drawn = (gaussian(network, generator) for _ in range(count))
    vectors = (like_weights(network, point, d, normalise=normalise, biases=biases) for d in drawn)
    names = tuple(f"random {number}" for number in range(1, count + 1))
    return Directions(vectors=tuple(vectors), names=names)


def eigenvectors(subject: Subject, *, plane: bool, seed: int) -> Directions:
    """Return unit eigenvectors of the Hessian: the first and the lowest, of lines the second too.

    The largest coordinate of each is positive.

    Cost: some hundred products, unless a spectrum of the same weights has handed them on.
    """
    size = subject.parameters.size
    if size < 2 and plane:
        raise ModelError(
            "one parameter makes no plane",
            where="surface",
            why="a plane has two independent directions",
            hint="ask for one dimension: --dimensions 1",
        )
    top, bottom = extreme_eigenvectors(subject, seed=seed)
    top = top[:1] if plane else top
    names = ("eigenvector of λ₁", "eigenvector of λ₂")[: len(top)]
    names += ("eigenvector of λ_min",) * len(bottom)
    return Directions(vectors=tuple(map(_pointing_up, (*top, *bottom))), names=names)


def gradient_directions(subject: Subject, *, plane: bool, seed: int) -> Directions:
    """Return the unit gradient and, of a plane, a random unit vector orthogonal to it.

    Raises:
        ModelError: The gradient is zero.

    Cost: a gradient.
    """
    gradient = subject.gradient(subject.point)
    length = norm(gradient)
    if not length:
        raise ModelError(
            "the gradient is zero: it points nowhere",
            where="surface",
            why="a direction needs a length",
            hint="take eigenvectors or random directions: --directions eigenvectors",
        )
    first, name = gradient / length, "gradient"
    if not plane:
        return Directions(vectors=(first,), names=(name,))
    generator = torch.Generator().manual_seed(seed)
    other = gaussian(subject.network, generator).to(first)
    for _ in range(2):  # once more, against rounding
        other = other - float(dots(first[None], other)[0]) * first
    if not norm(other):
        raise ModelError(
            "one parameter makes no plane",
            where="surface",
            why="a plane has two independent directions",
            hint="ask for one dimension: --dimensions 1",
        )
    return Directions(
        vectors=(first, other / norm(other)), names=(name, "random, orthogonal to it")
    )


def natural_lengths(subject: Subject, curvature: np.ndarray, *, rise: float) -> np.ndarray:  # (k,)
    """Return how far parabolas take to rise by some loss, and at most ‖θ‖: √(2 rise / |uᵀHu|).

    Args:
        subject: At one checkpoint.
        curvature: uᵀHu (k,), NaN where it is not known.
        rise: The loss.
    """
    size = norm(subject.point.theta) or np.inf
    with np.errstate(divide="ignore", invalid="ignore"):
        natural = np.sqrt(2 * rise / np.abs(curvature))
    natural = np.where(np.isfinite(natural) & (natural > 0), natural, np.inf)
    lengths = np.minimum(natural, size)
    return np.where(np.isfinite(lengths), lengths, 1.0)


def uninformed_loss(subject: Subject) -> float:
    """Return the loss of the best constant prediction, or of the checkpoint where that is larger.

    Args:
        subject: At its last checkpoint, whose loss is known.

    Cost: a pass over the data.
    """
    own, constant = subject.counted.total / subject.count, -math.inf
    if all(isinstance(batch.targets, Tensor) for batch in subject.device_batches()):
        try:
            constant = best_constant(subject, subject.device_batches()).loss
        except ModelError:  # outputs in which no tensor can be found
            constant = -math.inf
    found = [one for one in (own, constant) if math.isfinite(one)]
    return max(found, default=1.0)


def _pointing_up(vector: Tensor) -> Tensor:
    return vector * float(torch.sign(vector[vector.abs().argmax()]))
