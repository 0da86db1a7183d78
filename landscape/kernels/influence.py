"""Which samples the kernel weighs most, and whose labels all others contradict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from landscape.kernels.regression import Fit

SHOWN = 20
NEIGHBOURS = 3


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """A sample whose label the regression on all others contradicts most.

    Args:
        sample: Its place in the data.
        label: That it has.
        predicted: By all others.
        margin: Score of the predicted class, or of the next, less that of the label.
        leverage: Of the sample.
        neighbours: Nearest others by the angle of their Jacobians, nearest first.
        neighbour_labels: Theirs.
    """

    sample: int
    label: int
    predicted: int
    margin: float
    leverage: float
    neighbours: tuple[int, ...]
    neighbour_labels: tuple[int, ...]


def suspicion(fit: Fit, labels: np.ndarray) -> np.ndarray:  # (N,)
    """Return how far another class stands above the label when the sample is left out.

    Args:
        fit: Of one-hot targets.
        labels: (N,).
    """
    rows = np.arange(len(labels))
    others = fit.left_out.copy()
    others[rows, labels] = -np.inf
    return others.max(1) - fit.left_out[rows, labels]


def suspects(
    kernel: np.ndarray, fit: Fit, labels: np.ndarray, places: np.ndarray
) -> tuple[Suspect, ...]:
    """Return the samples that are most suspected, the most first.

    Args:
        kernel: (N, N).
        fit: Of one-hot targets.
        labels: (N,).
        places: Of the samples in the data (N,).
    """
    margin = suspicion(fit, labels)
    predicted = fit.left_out.argmax(1)
    order = np.argsort(-margin, kind="stable")[:SHOWN]
    near = nearest(kernel, order)
    return tuple(
        Suspect(
            sample=int(places[i]),
            label=int(labels[i]),
            predicted=int(predicted[i]),
            margin=float(margin[i]),
            leverage=float(fit.leverage[i]),
            neighbours=tuple(int(places[j]) for j in row),
            neighbour_labels=tuple(int(labels[j]) for j in row),
        )
        for i, row in zip(order, near, strict=True)
    )


def nearest(kernel: np.ndarray, rows: np.ndarray) -> np.ndarray:  # (k, NEIGHBOURS)
    """Return for some samples the others with the largest K_ij / √(K_ii K_jj)."""
    length = np.sqrt(np.maximum(np.diagonal(kernel), 1e-300))
    cosines = kernel[rows] / length[rows, None] / length
    cosines[np.arange(len(rows)), rows] = -np.inf
    return np.argsort(-cosines, axis=1, kind="stable")[:, : min(NEIGHBOURS, len(kernel) - 1)]
