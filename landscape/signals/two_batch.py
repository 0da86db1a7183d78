"""Signal and noise of a gradient from its norms at two batch sizes."""

from __future__ import annotations

import numpy as np


def signal_and_noise(
    small: np.ndarray, big: np.ndarray, *, inverse_size: np.ndarray, pieces: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return unbiased estimates of |G|² and tr Σ, one of each per draw.

    With g = (1/P) Σ g_p the mean of the gradients of P independent pieces of b_p samples each and
    h = mean 1/b_p,

        E mean |g_p|² = |G|² + h tr Σ,    E |g|² = |G|² + h tr Σ / P,

    so that |G|² = (P |g|² − mean |g_p|²) / (P − 1) and tr Σ = P (mean |g_p|² − |g|²) / (h (P − 1)).
    A single draw may be negative. The noise scale is the ratio of the means over draws, not the
    mean of the ratios, which is biased.

    Args:
        small: Mean of |g_p|² over pieces (t,).
        big: |g|² (t,).
        inverse_size: h (t,).
        pieces: P (t,), at least 2.

    Source: McCandlish et al. 2018, arXiv 1812.06162, appendix A.1.
    """
    signal = (pieces * big - small) / (pieces - 1)
    noise = pieces * (small - big) / (inverse_size * (pieces - 1))
    return signal, noise
