"""The largest eigenvalue of positive semidefinite matrices, proved from above."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.sparse.linalg import ArpackError, eigsh
from torch import Tensor

UNIT = 2.0**-53  # rounding of float64
DIRECT = 1e7  # b·n³ up to which all eigenvalues are computed
ALONE = 3e7  # the same for a single matrix
ITERATIONS = 12  # of the power method, for all
ROUNDS = 8  # of a Ritz value that is as good as converged, and factorisations of what lies above
SLACK = 1e-6  # above the Ritz value, at which a Cholesky factorisation is tried


def largest_eigenvalue(matrices: Tensor, floor: float = 0.0, inner: int = 0) -> float:
    """Return a number that no eigenvalue of Hermitian positive semidefinite matrices exceeds.

    Small ones are decomposed. For others the power method finds which is likely the largest,
    Lanczos gives a Ritz value θ of that one, and a Cholesky factorisation of (1 + δ) θ I − G that
    succeeds proves that none lies above, up to the rounding n (n + 1) u tr that is added (Rump
    2006). Those where it fails are begun with again, and in the end decomposed.

    Args:
        matrices: G (b, n, n), float64 or complex128, finite.
        floor: What is known already: matrices below it cost one factorisation.
        inner: Length of the sums that the entries of G were computed by, for their rounding.

    Returns:
        At least `floor`.

    Cost: b n³/3 for the factorisations, and 12 b n² for the power method.

    Source: Rump 2006, Verification of positive definiteness, BIT 46.
    """
    size = matrices.shape[-1]
    margin = 1 + (8 * size * (size + 1) + 2 * inner * size) * UNIT
    if len(matrices) * float(size) ** 3 > (ALONE if len(matrices) == 1 else DIRECT):
        if floor:
            matrices = matrices[_above(matrices, floor)]
            if not len(matrices):
                return floor * margin
        values = ritz_values(matrices, ITERATIONS)
        for _ in range(ROUNDS):
            if float(values.max()) > floor or not floor:
                floor = max(floor, _lanczos(matrices[int(values.argmax())]) * (1 + SLACK))
            above = _above(matrices, floor)
            matrices, values = matrices[above], values[above]
            if not len(matrices):
                return floor * margin
            values = values.clamp_min(floor * (1 + UNIT))  # none is below what it failed at
    return max(floor, float(torch.linalg.eigvalsh(matrices)[:, -1].max())) * margin


def _lanczos(matrix: Tensor) -> float:
    """Return the largest Ritz value of implicitly restarted Lanczos from a fixed vector."""
    start = 1 + 0.1 * np.cos(np.arange(len(matrix)))
    held = matrix.cpu().numpy()
    try:
        found = eigsh(held, 1, which="LA", v0=start, tol=1e-5, return_eigenvectors=False)  # pyright: ignore[reportArgumentType]
        return float(found[0])
    except ArpackError:
        return float(ritz_values(matrix.unsqueeze(0), 4 * ITERATIONS)[0])


def _above(matrices: Tensor, level: float) -> Tensor:
    """Return for which matrices it is not proved that they lie below a level (b,)."""
    shifted = -matrices
    shifted.diagonal(dim1=-2, dim2=-1).add_(level)
    return torch.linalg.cholesky_ex(shifted)[1] != 0


def ritz_values(matrices: Tensor, steps: int) -> Tensor:
    """Return Ritz values of the power method from the column of the largest entry of each (b,).

    Of a positive semidefinite matrix that stands on the diagonal.
    """
    half = matrices.to(torch.complex64 if matrices.is_complex() else torch.float32)
    largest = half.diagonal(dim1=-2, dim2=-1).real.argmax(-1)
    vector = half[torch.arange(len(half), device=half.device), :, largest]
    wave = torch.cos(torch.arange(half.shape[-1], device=half.device, dtype=torch.float32))
    scale = torch.linalg.vector_norm(vector, dim=-1, keepdim=True)
    vector = (vector + wave * scale * (0.05 / math.sqrt(len(wave)))).unsqueeze(-1)
    for _ in range(steps):
        norm = torch.linalg.vector_norm(vector, dim=-2, keepdim=True).clamp_min(1e-30)
        vector = half @ (vector / norm)
    vector = vector.to(matrices.dtype)
    norm = torch.linalg.vector_norm(vector, dim=-2, keepdim=True).clamp_min(1e-300)
    return ((vector / norm).conj() * (matrices @ (vector / norm))).sum((-2, -1)).real
