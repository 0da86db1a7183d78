"""What the network linearised at a checkpoint predicts on held-out data, beside the network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from landscape.estimate import Estimate
from landscape.kernels.decomposition import Decomposition
from landscape.kernels.regression import fitted, ridge_path
from landscape.kernels.targets import Targets
from landscape.signals.intervals import over_samples, share


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Network and kernel on the same held-out samples.

    Args:
        samples: M.
        quantity: `accuracy` or `mean squared error`.
        network: Of the network itself.
        kernel: Of the regression of the targets on the kernel.
        linearised: Of f(x) + k(x) (K + λ)⁻¹ (y − f), for the squared error only.
        ridge: λ of the regression, by the least leave-one-out error.
    """

    samples: int
    quantity: str
    network: Estimate
    kernel: Estimate
    linearised: Estimate | None
    ridge: float


def prediction(
    found: Decomposition,
    cross: np.ndarray,
    *,
    outputs: np.ndarray,
    targets: Targets,
    held_outputs: np.ndarray,
    held: Targets,
) -> Prediction | None:
    """Return how well kernel and network predict held-out samples; None without targets.

    Args:
        found: Of the trace kernel (N, N).
        cross: K(x, x') of held-out samples with the others (M, N).
        outputs: f of the N samples (N, O).
        targets: Of the N samples.
        held_outputs: f of the M samples (M, O).
        held: Of the M samples.
    """
    if targets.values is None or targets.centred is None or held.values is None:
        return None
    mean = targets.values.mean(0)
    path = ridge_path(found, targets.centred)
    ridge = float(path.ridge[path.best])
    told = cross @ fitted(found, targets.centred, ridge).weights + mean
    linearised = None
    if targets.square:
        gap = targets.values - outputs
        own = ridge_path(found, gap)
        moved = cross @ fitted(found, gap, float(own.ridge[own.best])).weights
        linearised = _judged(held_outputs + moved, held)
    return Prediction(
        samples=len(held.values),
        quantity="accuracy" if held.labels is not None else "mean squared error",
        network=_judged(held_outputs, held),
        kernel=_judged(told, held),
        linearised=linearised,
        ridge=ridge,
    )


def _judged(outputs: np.ndarray, held: Targets) -> Estimate:
    if held.labels is not None:
        right = int((outputs.argmax(1) == held.labels).sum())
        return share(right, len(held.labels), "held-out samples, Clopper-Pearson")
    if held.values is None:
        raise ValueError("no targets")
    return over_samples(np.square(outputs - held.values).mean(1), "held-out samples, Student's t")
