"""What the network linearised at a checkpoint predicts on held-out data, beside the network."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from landscape.errors import NumericalError
from landscape.estimate import Estimate
from landscape.kernels.decomposition import Decomposition
from landscape.kernels.linearised import Linearised
from landscape.kernels.regression import fitted, ridge_path
from landscape.kernels.targets import Targets
from landscape.kernels.training import Training, judged, training
from landscape.signals.intervals import over_samples


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Network and kernel on the same held-out samples.

    Args:
        samples: M.
        quantity: `accuracy` or `mean squared error`.
        network: Of the network itself.
        kernel: Of the regression of the targets on the kernel.
        linearised: Of the network linearised at the checkpoint and trained on: for the squared
            error f(x) + k(x) (K + λ)⁻¹ (y − f), for a cross-entropy at the end of `training`.
        ridge: λ of the regression, by the least leave-one-out error.
        training: Of the linearised network under a cross-entropy.
        training_reason: Why there is none.
    """

    samples: int
    quantity: str
    network: Estimate
    kernel: Estimate
    linearised: Estimate | None
    ridge: float
    training: Training | None = None
    training_reason: str = ""


def prediction(
    found: Decomposition,
    cross: np.ndarray,
    linearised: Linearised,
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
        linearised: The kernel of the linearised network.
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
    trained, reason, moved = None, "", None
    if targets.square:
        found_by = _judged(held_outputs + linearised.regressed(targets.values - outputs), held)
        moved = replace(found_by, method=f"{found_by.method}; by {linearised.kernel}")
    else:
        trained, reason = _trained(linearised, outputs, targets, held_outputs, held)
    if trained is not None:
        last = trained.end.accuracy
        moved = replace(last, method=f"{last.method}, trained {trained.until}")
    return Prediction(
        samples=len(held.values),
        quantity="accuracy" if held.likelihood is not None else "mean squared error",
        network=_judged(held_outputs, held),
        kernel=_judged(told, held, even=0.5),
        linearised=moved,
        ridge=ridge,
        training=trained,
        training_reason=reason,
    )


def _trained(
    linearised: Linearised,
    outputs: np.ndarray,
    targets: Targets,
    held_outputs: np.ndarray,
    held: Targets,
) -> tuple[Training | None, str]:
    """Return how the linearised network trains, or why that is not told."""
    if targets.likelihood is None or held.likelihood is None:
        return None, "the loss is neither a cross-entropy nor the squared error"
    try:
        return training(linearised, targets.likelihood, outputs, held.likelihood, held_outputs), ""
    except NumericalError as error:
        return None, error.what


def _judged(outputs: np.ndarray, held: Targets, *, even: float = 0.0) -> Estimate:
    if held.likelihood is not None:
        return judged(held.likelihood.right(outputs, even=even), "held-out samples")
    if held.values is None:
        raise ValueError("no targets")
    return over_samples(np.square(outputs - held.values).mean(1), "held-out samples, Student's t")
