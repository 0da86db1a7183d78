"""The cross-entropy of flat outputs in float64: losses, slopes, curvature, and what is right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Likelihood:
    """Cross-entropy of N samples as a function of their outputs f (N, O).

    Args:
        values: Y (N, O): one-hot labels, or probabilities.
        layout: (b, C, a): the outputs of a sample are C classes at b a places; with C = 1 each is
            the logit of a probability of its own.
        count: What the mean runs over.
    """

    values: np.ndarray
    layout: tuple[int, int, int]
    count: int

    @property
    def bend(self) -> float:
        """Return the largest eigenvalue that the curvature of one sample can have, over `count`."""
        return (0.25 if self._binary else 0.5) / self.count

    def losses(self, outputs: np.ndarray) -> np.ndarray:  # (N,)
        """Return the loss of every sample, whose mean is that of all."""
        f, y = self._placed(outputs), self._placed(self.values)
        total = np.logaddexp(0, f) if self._binary else _log_sum(f) * y.sum(2, keepdims=True)
        each = total.sum((1, 2, 3)) - (y * f).sum((1, 2, 3))
        return each * (len(y) / self.count)

    def slopes(self, outputs: np.ndarray) -> np.ndarray:  # (N, O)
        """Return the gradient of the mean loss."""
        y = self._placed(self.values)
        return ((self._weighed(self._told(outputs)) - y) / self.count).reshape(outputs.shape)

    def curvature(self, outputs: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        """Return v ↦ ∇²ℓ v of the mean loss, for v (N, O)."""
        p = self._told(outputs)

        def of(v: np.ndarray) -> np.ndarray:
            u = self._placed(v)
            bent = p * (1 - p) * u if self._binary else p * (u - (p * u).sum(2, keepdims=True))
            return (self._weighed(bent) / self.count).reshape(v.shape)

        return of

    def right(self, outputs: np.ndarray, *, even: float = 0.0) -> np.ndarray:  # (N,)
        """Return the share of every sample's places where the likeliest class is that of the label.

        Args:
            outputs: (N, O).
            even: An output of equal chances, where each is of a probability of its own.
        """
        f, y = self._placed(outputs), self._placed(self.values)
        same = (f > even) == (y > 0.5) if self._binary else f.argmax(2) == y.argmax(2)
        return same.reshape(len(y), -1).mean(1)

    @property
    def _binary(self) -> bool:
        return self.layout[1] == 1

    def _placed(self, flat: np.ndarray) -> np.ndarray:  # (N, b, C, a)
        return flat.reshape(len(flat), *self.layout)

    def _told(self, outputs: np.ndarray) -> np.ndarray:
        """Return the probabilities (N, b, C, a)."""
        f = self._placed(outputs)
        if self._binary:
            return np.exp(-np.logaddexp(0, -f))
        return np.exp(f - _log_sum(f))

    def _weighed(self, at: np.ndarray) -> np.ndarray:
        """Return what is of a place times the probability that its targets have together."""
        return at if self._binary else at * self._placed(self.values).sum(2, keepdims=True)


def _log_sum(f: np.ndarray) -> np.ndarray:
    most = f.max(2, keepdims=True)
    return most + np.log(np.exp(f - most).sum(2, keepdims=True))
