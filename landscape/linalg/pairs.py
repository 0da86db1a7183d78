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
from landscape.linalg.symmetry import symmetry_defect

ROUNDING = 8 * torch.finfo(torch.float64).eps  # of a residual, in units of the largest |value|
FEW = 4  # times the error of a product of few samples, at a random vector
NOISE = 16  # of a product, in units of what rounding is seen to do: 3.5 times the most measured


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
    symmetry_defect: float  # largest |u·Av − v·Au| of the search's unit vectors: the noise floor
    orthogonality: float  # max |VVᵀ − I|
    searches: int
    products: int
    imprecision: float = 0.0  # of a product, relative, as the operator tells it

    @property
    def noise(self) -> float:
        """Return how long the error of a product of a unit vector is taken to be, at most.

        A few times ε λ_max + the symmetry defect, which sees as much of the error as lies within
        the basis: on networks 3.5 to 30 times ‖(A₃₂ − A₆₄) v‖. And a few times what float64 told of
        a product of some samples, where a loss near zero leaves few digits.
        """
        largest = float(np.abs(self.known.values).max(initial=0))
        eps = torch.finfo(self.known.vectors.dtype).eps
        return NOISE * (eps * largest + self.symmetry_defect) + FEW * self.imprecision * largest


def measured(
    operator: LinearOperator, rows: Tensor, images: Tensor | None = None
) -> tuple[Pairs, float]:
    """Return the Ritz pairs in the span of some rows (k, n), descending, with true residuals.

    Args:
        operator: Symmetric, n × n.
        rows: Nearly orthonormal.
        images: Their products (k, n), where they are known.

    Returns:
        The pairs and max |VVᵀ − I|.

    Cost: none where the images are known; k products in one block otherwise.
    """
    if images is None:
        rows = orthonormal(rows)
        images = operator.matmat(rows.T).T
    correlation, projected = gram(rows).cpu(), dots(rows, images).cpu()
    inverse = _inverse_factor(correlation)
    projected = inverse @ projected @ inverse.T
    values, weights = torch.linalg.eigh((projected + projected.T) / 2)
    values, turn = values.flip(0), (weights.T.flip(0) @ inverse).to(rows.device)
    vectors = combined(turn, rows)
    residuals = _misfits(turn, images, values.to(turn), vectors)
    return Pairs(values.numpy(), residuals.cpu().numpy(), vectors), defect(vectors)


def _inverse_factor(correlation: Tensor) -> Tensor:  # (k, k)
    """Return F with F G Fᵀ = I, for the products G of rows with one another."""
    lower = torch.linalg.cholesky(correlation)
    identity = torch.eye(len(lower), dtype=lower.dtype)
    return torch.linalg.solve_triangular(lower, identity, upper=False)


def dense(operator: LinearOperator) -> tuple[Pairs, float, float]:
    """Return all pairs of an operator, descending, from as many products as it has columns.

    Returns:
        The pairs, max |VVᵀ − I|, and the largest asymmetry of the matrix.

    Raises:
        NumericalError: It is not symmetric, or a product is not finite.
    """
    size, step = operator.shape[0], operator.preferred_block
    identity = torch.eye(size, dtype=operator.dtype, device=operator.device)
    images = torch.cat([operator.matmat(part.T).T for part in identity.split(step)])
    matrix = images.double().cpu()
    values, weights = torch.linalg.eigh((matrix + matrix.T) / 2)
    values, turn = values.flip(0), weights.T.flip(0).to(identity.device)
    vectors = turn.to(operator.dtype)
    residuals = _misfits(turn, images, values.to(turn), vectors)
    pairs = Pairs(values.numpy(), residuals.cpu().numpy(), vectors)
    gaps, lengths = (matrix - matrix.T).abs(), torch.linalg.vector_norm(matrix, dim=1)
    return pairs, defect(vectors), symmetry_defect(operator, gaps, lengths)


def _misfits(turn: Tensor, images: Tensor, values: Tensor, vectors: Tensor) -> Tensor:  # (k,)
    """Return ‖turn·images − values·vectors‖ of every row, and what float64 may hide of it."""
    squares = torch.zeros_like(values)
    for start in range(0, vectors.shape[1], CHUNK):
        part = slice(start, start + CHUNK)
        gap = turn @ images[:, part].double() - values[:, None] * vectors[:, part].double()
        squares += gap.square().sum(1)
    return squares.sqrt() + ROUNDING * values.abs().amax(0)


def defect(vectors: Tensor) -> float:
    """Return max |VVᵀ − I| of some rows."""
    excess = gram(vectors) - torch.eye(len(vectors), dtype=torch.float64, device=vectors.device)
    return float(excess.abs().max())
