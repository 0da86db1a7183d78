"""Eigenpairs and what is known of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from landscape.estimate import Status
from landscape.linalg.basis import orthonormal
from landscape.linalg.operator import LinearOperator
from landscape.linalg.products import CHUNK, combined, dots, gram

ROUNDING = 8 * torch.finfo(torch.float64).eps  # of a residual, in units of the largest |value|


@dataclass(frozen=True)
class Pairs:
    """Eigenpairs of one end, the extreme one first."""

    values: np.ndarray  # (k,)
    residuals: np.ndarray  # (k,), ‖Av − λv‖ with ‖v‖ = 1, absolute
    vectors: Tensor  # (k, n), rows

    def first(self, count: int) -> Pairs:
        """Return the first pairs."""
        return Pairs(self.values[:count], self.residuals[:count], self.vectors[:count])

    def last(self, count: int) -> Pairs:
        """Return the last pairs, in reverse."""
        back = np.arange(len(self.values) - 1, len(self.values) - 1 - count, -1)
        return Pairs(self.values[back], self.residuals[back], self.vectors[back.tolist()])


@dataclass(frozen=True)
class Eigenpairs:
    """Both ends of a spectrum and how far they can be trusted."""

    top: Pairs  # descending
    bottom: Pairs  # ascending
    known: Pairs  # both ends together, each pair once, orthonormal
    complete: bool  # no pair beyond the k-th was missed
    status: Status
    tolerance: float  # absolute: the residual that was asked for, or the noise floor
    symmetry_defect: float  # |u·Av − v·Au| for random unit vectors: the noise floor
    orthogonality: float  # max |VVᵀ − I|
    searches: int
    products: int


def measured(operator: LinearOperator, rows: Tensor) -> tuple[Pairs, float]:
    """Return the Ritz pairs in the span of some rows (k, n), descending, with true residuals.

    Returns:
        The pairs and max |VVᵀ − I|.

    Cost: k products in one block.
    """
    rows = orthonormal(rows)
    images = operator.matmat(rows.T).T
    projected = dots(rows, images).cpu()
    values, weights = torch.linalg.eigh((projected + projected.T) / 2)
    values, turn = values.flip(0), weights.T.flip(0).to(rows.device)
    vectors = combined(turn, rows)
    residuals = _misfits(turn, images, values.to(turn), vectors)
    return Pairs(values.numpy(), residuals.cpu().numpy(), vectors), _defect(vectors)


def dense(operator: LinearOperator) -> tuple[Pairs, float]:
    """Return all pairs of an operator, descending, from as many products as it has columns.

    Returns:
        The pairs and max |VVᵀ − I|.
    """
    size, step = operator.shape[0], operator.preferred_block
    identity = torch.eye(size, dtype=operator.dtype, device=operator.device)
    images = torch.cat([operator.matmat(part.T).T for part in identity.split(step)])
    matrix = images.double().cpu()
    values, weights = torch.linalg.eigh((matrix + matrix.T) / 2)
    values, turn = values.flip(0), weights.T.flip(0).to(identity.device)
    vectors = turn.to(operator.dtype)
    residuals = _misfits(turn, images, values.to(turn), vectors)
    return Pairs(values.numpy(), residuals.cpu().numpy(), vectors), _defect(vectors)


def _misfits(turn: Tensor, images: Tensor, values: Tensor, vectors: Tensor) -> Tensor:  # (k,)
    """Return ‖turn·images − values·vectors‖ of every row, and what float64 may hide of it."""
    squares = torch.zeros_like(values)
    for start in range(0, vectors.shape[1], CHUNK):
        part = slice(start, start + CHUNK)
        gap = turn @ images[:, part].double() - values[:, None] * vectors[:, part].double()
        squares += gap.square().sum(1)
    return squares.sqrt() + ROUNDING * values.abs().amax(0)


def _defect(vectors: Tensor) -> float:
    excess = gram(vectors) - torch.eye(len(vectors), dtype=torch.float64, device=vectors.device)
    return float(excess.abs().max())
