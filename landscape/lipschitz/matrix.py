"""The spectral norm of a matrix, proved from above."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from landscape.lipschitz.eigenvalue import largest_eigenvalue


def matrix_norm(matrix: Tensor) -> float:
    """Return an upper bound of ‖W‖₂ that exceeds it by rounding only, or a millionth part.

    Args:
        matrix: W (m, n) or several of them (b, m, n), of which the largest counts; finite.

    Cost: the Gram matrix of the shorter side in float64, and a factorisation of it.
    """
    many = matrix.detach().double()
    many = many if many.dim() == 3 else many.unsqueeze(0)
    scale = float(many.abs().max()) if many.numel() else 0.0
    if scale == 0:
        return 0.0
    many = many / scale  # squares neither overflow nor vanish
    if many.shape[-2] > many.shape[-1]:
        many = many.mT
    if many.shape[-2] == 1:
        return scale * float((many * many).sum((-2, -1)).max().sqrt()) * (1 + 1e-14)
    top = largest_eigenvalue(many @ many.mT, inner=many.shape[-1])
    return scale * math.sqrt(top) * (1 + 4e-16)


def rough_norm(matrix: Tensor, steps: int = 8) -> float:
    """Return ‖W‖₂ roughly, from below: no bound.

    Args:
        matrix: W (m, n).
        steps: Of the power method, in float32.
    """
    held = matrix.detach().float()
    wave = torch.cos(torch.arange(held.shape[1], device=held.device, dtype=torch.float32))
    vector, found = 1 + 0.1 * wave, 0.0
    for _ in range(steps):
        image = held @ (vector / torch.linalg.vector_norm(vector).clamp_min(1e-30))
        found = float(torch.linalg.vector_norm(image))
        vector = held.T @ image
    return found
