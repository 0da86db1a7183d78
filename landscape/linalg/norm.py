"""The spectral norm of a matrix that is there."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from landscape.estimate import Estimate, Status
from landscape.linalg import random_start
from landscape.linalg.lanczos import gauss_quadratures
from landscape.linalg.operator import GramOperator
from landscape.linalg.probes import spherical

DENSE_SIDE = 160  # below this the singular values themselves are the cheaper way
STEPS = 48


def spectral_norm(matrix: Tensor, *, generator: torch.Generator) -> Estimate:
    """Return the largest singular value of a matrix (m, n).

    Small matrices are decomposed. For others Lanczos on W Wᵀ gives a Ritz value θ ≤ σ²; from
    random starts, σ² exceeds θ by more than ε σ² with probability at most
    1.648 √m e^{−√ε (2s−1)} (Kuczyński & Woźniakowski 1992, theorem 4.2), which is the interval.

    Args:
        matrix: Finite, (m, n), any precision; computed in float32 or better.
        generator: Draws the start vector.

    Cost: 48 products with W and with Wᵀ.
    """
    matrix = matrix if matrix.dtype in (torch.float32, torch.float64) else matrix.float()
    if matrix.shape[0] > matrix.shape[1]:
        matrix = matrix.T
    scale = float(matrix.abs().max())
    if scale == 0:
        return Estimate.exact(0.0, "the matrix is zero")
    matrix = matrix / scale  # squares neither overflow nor vanish
    if matrix.shape[0] <= DENSE_SIDE:
        gram = matrix.double() @ matrix.double().T
        top = float(torch.linalg.eigvalsh(gram)[-1])
        return Estimate.exact(scale * math.sqrt(top), "eigenvalues of W Wᵀ")
    return _by_lanczos(matrix, scale, generator)


def _by_lanczos(matrix: Tensor, scale: float, generator: torch.Generator) -> Estimate:
    operator = GramOperator(matrix)
    like = torch.empty(0, dtype=matrix.dtype, device=matrix.device)
    start = spherical(1, operator.shape[0], like=like, generator=generator)
    (quadrature,) = gauss_quadratures(operator, start, STEPS)
    value, steps = scale * math.sqrt(float(quadrature.nodes[-1])), len(quadrature.nodes)
    ended = steps < min(STEPS, operator.shape[0])  # the Krylov space is exhausted
    rounding = 16 * float(torch.finfo(matrix.dtype).eps)
    excess = rounding if ended else random_start.excess(operator.shape[0], steps)
    interval = (value * (1 - rounding), value / math.sqrt(1 - excess))
    return Estimate(
        value=value,
        kind="estimate",
        interval=interval,
        solver=interval,
        status=Status.INVARIANT_SUBSPACE if ended else Status.CONVERGED,
        method=f"Lanczos on W Wᵀ, {steps} steps",
    )
