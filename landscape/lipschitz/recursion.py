"""The LMI of LipSDP for a chain: its value and gradient in the multipliers, block by block."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from landscape.lipschitz.chain import Chain

FLOOR = 1e-30  # of the largest eigenvalue, below which others are as good as zero


@dataclass(frozen=True, kw_only=True)
class Value:
    """A feasible point of the LMI.

    Args:
        square: λ_max: the bound is its root.
        smooth: What is minimised in its place: ½ log of a Schatten norm, and a barrier.
        gradients: Of `smooth` in the logarithms of the multipliers, layer by layer.
    """

    square: float
    smooth: float
    gradients: tuple[Tensor, ...]  # (n_l,) each


class Recursion:
    """Block elimination of the LMI of a chain, in float64.

    With multipliers Λ_l = diag λ_l > 0, M_l = diag (α_l + β_l)/2, P_l = diag α_l β_l, the quadratic
    constraint (dφ − α dz)(β dz − dφ) ≥ 0 of every neuron, weighted by λ, gives: if

        X_0 = I + W_1ᵀ P_1 Λ_1 W_1,
        X_l = Λ_l + W_{l+1}ᵀ P_{l+1} Λ_{l+1} W_{l+1} − B_lᵀ B_l,   B_l = C_{l−1}⁻¹ W_lᵀ Λ_l M_l,

    with C_l the Cholesky factor of X_l, are positive definite, then λ_max(W_L X_{L−1}⁻¹ W_Lᵀ) is
    the square of a Lipschitz constant: for α = 0 (ReLU, tanh), α > 0 (leaky ReLU) and α < 0 (GELU,
    |x|) alike, as every block but the last scales with the square.

    One multiplier for each neuron is LipSDP-Neuron, one for each layer LipSDP-Layer.
    LipSDP-Network, which couples neurons by T = (e_i − e_j)(e_i − e_j)ᵀ, is not offered: it is
    unsound (Pauli et al. 2021, arXiv 2005.02929). For two ReLU neurons with dz = (1, 2) and
    dφ = (1, 0) its constraint 2 dφᵀ T (dz − dφ) ≥ 0 reads −4 ≥ 0.

    The first and the last matrix are replaced by their triangular factors where that is smaller:
    orthogonal maps change no norm. Rounding is left to `proof`.

    Args:
        chain: With norms near 1, or powers may overflow in deep ones.
        device: Where to compute.

    Cost: for each layer a Cholesky factor, a triangular solve and two products of n_l × n_l.

    Source: Fazlyab et al. 2019, arXiv 1906.04893; Xu & Sivaranjani 2024, arXiv 2404.04375 (the
    recursion). Differs from the sources: slopes of any sign, gradient in closed form.
    """

    def __init__(self, chain: Chain, device: torch.device) -> None:
        def placed(array: np.ndarray) -> Tensor:
            return torch.from_numpy(np.array(array)).to(device)

        self.weights = [placed(array) for array in _reduced(chain.weights)]
        self.alphas = [placed(array) for array in chain.alphas]
        self.betas = [placed(array) for array in chain.betas]
        self._products = [
            bool(np.any(a * b)) for a, b in zip(chain.alphas, chain.betas, strict=True)
        ]

    @property
    def start(self) -> Tensor:
        """Return X_0 without the first activation's term: the identity."""
        return torch.eye(self.weights[0].shape[1]).to(self.weights[0])

    def step(
        self, layer: int, rest: Tensor, multiplier: Tensor
    ) -> tuple[Tensor, Tensor, Tensor] | None:
        """Eliminate the inputs of a hidden layer.

        Args:
            layer: l − 1, from 0.
            rest: X_{l−1} without the term of activation l, (n_{l−1}, n_{l−1}).
            multiplier: λ_l, (n_l,).

        Returns:
            C_{l−1}, B_l, and X_l without the term of activation l + 1; None where X_{l−1} is not
            positive definite.
        """
        weight, alpha, beta = self.weights[layer], self.alphas[layer], self.betas[layer]
        if self._products[layer]:
            rest = rest + weight.T @ ((alpha * beta * multiplier)[:, None] * weight)
        factor = factored(rest)
        if factor is None:
            return None
        scaled = ((alpha + beta) / 2 * multiplier)[:, None] * weight
        coupling = torch.linalg.solve_triangular(factor, scaled.T, upper=False)
        return factor, coupling, torch.diag(multiplier) - coupling.T @ coupling

    def value(self, logarithms: Sequence[Tensor], temperature: float) -> Value | None:
        """Return value and gradient at log λ, layer by layer; None where it is not feasible.

        Args:
            logarithms: (n_l,) each.
            temperature: τ: λ_max is smoothed to (Σ_j e_j^{1/τ})^τ over the eigenvalues e, and a
                barrier of weight τ / Σ n_l keeps the X_l away from singular ones.
        """
        multipliers = [one.exp() for one in logarithms]
        eliminated = self._eliminated(multipliers)
        if eliminated is None:
            return None
        factor, coupling = eliminated[-1]
        eigenvalues, vectors = torch.linalg.eigh(coupling.T @ coupling)
        square = float(eigenvalues[-1])
        if not 0 < square < math.inf:
            return None
        shares, excess = _softened(eigenvalues / square, temperature)
        inner = _solved(factor, coupling @ vectors)  # (n_{L−1}, n_L)
        moments = 0.5 * (inner * (shares / eigenvalues.clamp_min(FLOOR * square))) @ inner.T
        weight = temperature / sum(len(one) for one in multipliers)
        barrier = sum(float(one.sum()) for one in logarithms) - sum(
            2 * float(factor.diagonal().log().sum()) for factor, _ in eliminated
        )
        return Value(
            square=square,
            smooth=0.5 * (math.log(square) + excess) + weight * barrier,
            gradients=self._gradients(multipliers, eliminated, moments, weight),
        )

    def _eliminated(self, multipliers: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]] | None:
        """Return C_{l−1} and B_l for every layer; the last B is C_{L−1}⁻¹ W_Lᵀ."""
        rest, found = self.start, []
        for layer, multiplier in enumerate(multipliers):
            step = self.step(layer, rest, multiplier)
            if step is None:
                return None
            *pair, rest = step
            found.append(tuple(pair))
        factor = factored(rest)
        if factor is None:
            return None
        last = torch.linalg.solve_triangular(factor, self.weights[-1].T, upper=False)
        return [*found, (factor, last)]

    def _gradients(
        self,
        multipliers: Sequence[Tensor],
        eliminated: Sequence[tuple[Tensor, Tensor]],
        moments: Tensor,  # (n_{L−1}, n_{L−1})
        weight: float,
    ) -> tuple[Tensor, ...]:
        """Return w − λ_i E (v_i − α z_i)(v_i − β z_i), with z = W v, layer by layer.

        E v vᵀ adds up the null vectors of the LMI, which give `moments`, and w K⁻¹; both pass to
        the layer before by v_{l−1} = C_{l−1}⁻ᵀ B_l v_l.
        """
        moments = moments + weight * torch.cholesky_inverse(eliminated[-1][0])
        found = []
        for layer in range(len(multipliers) - 1, -1, -1):
            (factor, coupling), slopes = eliminated[layer], self.weights[layer]
            back = _solved(factor, coupling)  # (n_{l−1}, n_l)
            crossed = back @ moments
            low, high = self.alphas[layer], self.betas[layer]
            each = moments.diagonal() - (low + high) * (slopes * crossed.T).sum(1)
            if layer or self._products[layer]:
                moments = crossed @ back.T + weight * torch.cholesky_inverse(factor)
            if self._products[layer]:
                each = each + low * high * ((slopes @ moments) * slopes).sum(1)
            found.append(weight - multipliers[layer] * each)
        return tuple(reversed(found))


def factored(matrix: Tensor) -> Tensor | None:
    """Return the Cholesky factor; None where the matrix is not positive definite."""
    factor, info = torch.linalg.cholesky_ex(matrix)
    return factor if int(info) == 0 and bool(torch.isfinite(factor).all()) else None


def _solved(factor: Tensor, columns: Tensor) -> Tensor:
    """Return C⁻ᵀ times some columns."""
    return torch.linalg.solve_triangular(factor.T, columns, upper=True)


def _softened(ratios: Tensor, temperature: float) -> tuple[Tensor, float]:
    """Return the weights of eigenvalues over the largest, and the excess of their soft maximum."""
    logs = ratios.clamp_min(FLOOR).log() / temperature
    return torch.softmax(logs, 0), temperature * float(torch.logsumexp(logs, 0))


def _reduced(weights: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the matrices with the outer two cut to their ranks' bounds by orthogonal maps."""
    first, last = weights[0], weights[-1]
    found = list(weights)
    if first.shape[1] > first.shape[0]:
        found[0] = _triangular(first.T).T
    if len(weights) > 1 and last.shape[0] > last.shape[1]:
        found[-1] = _triangular(last)
    return found


def _triangular(matrix: np.ndarray) -> np.ndarray:
    """Return R of the factors Q R."""
    return np.linalg.qr(matrix).R
