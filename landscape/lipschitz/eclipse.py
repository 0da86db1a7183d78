"""Multipliers in closed form, one layer after the other: ECLipsE-Fast for any slopes."""

from __future__ import annotations

import torch
from torch import Tensor

from landscape.lipschitz.recursion import Recursion, factored

INSIDE = 1 - 1e-6  # keeps X positive definite where the closed form lies on the boundary
STIFF = 1e4  # κ / r of a neuron whose slope does not vary; the exact one is infinite


def fast_multipliers(recursion: Recursion) -> list[Tensor] | None:
    """Return λ_l = (κ_l / r_l) / λ_max(K_l W_l X_{l−1}⁻¹ W_lᵀ K_l) for each hidden layer.

    κ is the steepest slope, K = diag κ, r = (β − α)/2. By the S-lemma the bound is at most the
    product of the norms ‖K_l W_l‖; with α = 0 it is ECLipsE-Fast.

    Returns:
        (n_l,) each; None where rounding leaves no feasible point.

    Cost: for each layer a Cholesky factor and the eigenvalues of an n_l × n_l matrix.

    Source: Xu & Sivaranjani 2024, arXiv 2404.04375, proposition 3. Differs from the source: slopes
    of any sign, also neuron by neuron.
    """
    rest, found = recursion.start, []
    for layer, (alpha, beta) in enumerate(zip(recursion.alphas, recursion.betas, strict=True)):
        factor = factored(rest)
        if factor is None:
            return None
        steepest = torch.maximum(alpha.abs(), beta.abs())
        scaled = (steepest[:, None] * recursion.weights[layer]).T
        half = torch.linalg.solve_triangular(factor, scaled, upper=False)
        gram = half @ half.T if half.shape[0] <= half.shape[1] else half.T @ half
        top = torch.linalg.eigvalsh(gram)[-1]
        multiplier = INSIDE * _ratio(steepest, (beta - alpha) / 2) / top
        step = recursion.step(layer, rest, multiplier)
        if step is None:
            return None
        found.append(multiplier)
        rest = step[-1]
    return found


def _ratio(steepest: Tensor, radius: Tensor) -> Tensor:
    """Return κ / r, at most `STIFF`."""
    return torch.where(steepest >= STIFF * radius, STIFF, steepest / radius.clamp_min(1e-300))
