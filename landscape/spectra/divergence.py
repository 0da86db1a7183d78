"""Densities of eigenvalues on a logarithmic axis, and the Jensen-Shannon distance between them."""

from __future__ import annotations

import math

import numpy as np

UNIT = 1e-4  # |λ| below which the axis is linear
LIMIT = 6.0  # both ends of the axis: ± 6 decades above the unit
POINTS = 600
WIDTH = 0.1  # decades, the kernel's standard deviation


def signed_decades(values: np.ndarray) -> np.ndarray:
    """Return z = sign(λ) log₁₀(1 + |λ| / 10⁻⁴), within ± 6: what lies beyond counts at the end."""
    places = np.sign(values) * np.log10(1 + np.abs(values) / UNIT)
    return np.clip(places, -LIMIT, LIMIT)


def log_density(nodes: np.ndarray, weights: np.ndarray) -> np.ndarray:  # (600,)
    """Return the density of eigenvalues on the logarithmic axis, as probabilities that sum to one.

    Args:
        nodes: Eigenvalues, or nodes of a quadrature (k,).
        weights: Their shares (k,).
    """
    axis = np.linspace(-LIMIT, LIMIT, POINTS)
    kernel = np.exp(-0.5 * ((axis[:, None] - signed_decades(nodes)) / WIDTH) ** 2)
    density = kernel @ weights
    return density / density.sum()


def jensen_shannon(p: np.ndarray, q: np.ndarray) -> float:
    """Return the Jensen-Shannon distance √JSD, base 2: 0 for equal densities, 1 for disjoint ones.

    JSD = H((p + q)/2) − (H(p) + H(q))/2, with H the entropy in bits.

    Source: Lin 1991; Endres & Schindelin 2003 (a metric).
    """
    excess = _entropy((p + q) / 2) - (_entropy(p) + _entropy(q)) / 2
    return math.sqrt(min(max(excess, 0.0), 1.0))


def _entropy(p: np.ndarray) -> float:
    positive = p[p > 0]
    return float(-(positive * np.log2(positive)).sum())
