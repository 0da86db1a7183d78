"""Eigenvectors at both ends of the Hessian, found once for all who need them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from landscape.linalg.eigenpairs import Eigenpairs, eigenpairs
from landscape.operators.hessian import HessianOperator
from landscape.subject.subject import Subject

TOLERANCE = 1e-4
MAX_PRODUCTS = 2000
MOST_BYTES = 256 * 2**20  # that are remembered
TOP, BOTTOM = 2, 1


def extreme_eigenvectors(
    subject: Subject, *, seed: int, found: Eigenpairs | None = None
) -> tuple[Tensor, Tensor]:
    """Return unit eigenvectors of the two largest eigenvalues (≤ 2, n), and of the least (≤ 1, n).

    They are kept by `subject.once`: whoever has them first hands them on to the others.

    Args:
        subject: At one checkpoint.
        seed: Of the start vectors.
        found: Pairs of the Hessian that are known already, to `TOLERANCE`.

    Cost: some hundred products, unless they are known.
    """
    top, bottom = _counts(subject)

    def hessian_extremes(subject: Subject, *, tolerance: float, seed: int) -> np.ndarray:
        own = found or eigenpairs(
            HessianOperator(subject),
            top=top,
            bottom=bottom,
            generator=torch.Generator().manual_seed(seed),
            tolerance=tolerance,
            max_products=MAX_PRODUCTS,
        )
        return torch.cat([own.top.vectors[:top], own.bottom.vectors[:bottom]]).cpu().numpy()

    rows = subject.once(hessian_extremes, tolerance=TOLERANCE, seed=seed)
    vectors = torch.from_numpy(rows).to(subject.point.theta)
    return vectors[:top], vectors[top:]


def hand_on(subject: Subject, found: Eigenpairs, *, seed: int, tolerance: float) -> None:
    """Keep pairs of the Hessian for those who need some of them, where they are good enough.

    Args:
        subject: At one checkpoint.
        found: Its pairs.
        seed: Of the search.
        tolerance: To which it was made, relative.
    """
    top, bottom = _counts(subject)
    enough = len(found.top.vectors) >= top and len(found.bottom.vectors) >= bottom
    sure = found.complete and found.status.settled and tolerance <= TOLERANCE
    size = (top + bottom) * subject.parameters.size * found.top.vectors.element_size()
    if enough and sure and size <= MOST_BYTES:
        extreme_eigenvectors(subject, seed=seed, found=found)


def _counts(subject: Subject) -> tuple[int, int]:
    """Return how many vectors there are at each end."""
    size = subject.parameters.size
    return min(TOP, max(1, size - 1)), min(BOTTOM, size - 1)
