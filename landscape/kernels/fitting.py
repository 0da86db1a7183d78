"""What a kernel says that the network would learn: regression, held-out data, gradient descent."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import numpy as np
import torch

from landscape.errors import ModelError
from landscape.estimate import Estimate
from landscape.kernels.asked import Asked, chosen
from landscape.kernels.decomposition import Decomposition
from landscape.kernels.dynamics import Dynamics, dual_modes, dynamics_of
from landscape.kernels.influence import suspects
from landscape.kernels.linearised import Linearised, by_full, by_trace
from landscape.kernels.prediction import Prediction, prediction
from landscape.kernels.regression import fitted, ridge_path
from landscape.kernels.result import Regression
from landscape.kernels.targets import NONE_GIVEN, RAGGED, UNKNOWN, Targets, targets_of
from landscape.signals.intervals import share
from landscape.subject.batch import Batch
from landscape.subject.subject import Subject
from landscape.tangent.kernel import Kernel, cross_kernel

INSIDE = "the loss is computed inside the model"


def descent_of(
    subject: Subject,
    batches: list[Batch],
    targets: Targets,
    found: Kernel | None,
    asked: Asked,
) -> tuple[Dynamics | None, str]:
    """Return what gradient descent does on the quadratic model, or why that is not told."""
    if not asked.rate:
        return None, "it was not asked for"
    if not subject.criterion.separable:
        return None, INSIDE
    modes = None
    if found is not None and asked.kind == "full" and targets.roots is not None:
        modes = dual_modes(found.values, targets.roots, targets.count)
        modes = modes[modes > float(torch.finfo(subject.dtype).eps) * modes[0]]
    return dynamics_of(subject, batches, targets.count, modes, seed=asked.seed), ""


def regression_of(
    own: Decomposition, traced: np.ndarray, targets: Targets, asked: Asked, places: np.ndarray
) -> Regression | None:
    """Return the regression of the targets on the trace kernel, if there are targets."""
    centred = targets.centred
    if centred is None or targets.values is None or own.values[0] <= 0 or not centred.any():
        return None
    if targets.ignored:
        return None
    path = ridge_path(own, centred)
    mean = float(own.values.mean())
    ridge = asked.ridge * mean if asked.ridge else float(path.ridge[path.best])
    fit = fitted(own, centred, ridge)
    fit = replace(fit, left_out=fit.left_out + targets.values.mean(0))
    labels, accuracy = targets.labels, None
    if labels is not None:
        right = int((fit.left_out.argmax(1) == labels).sum())
        accuracy = share(right, len(labels), "leave-one-out, Clopper-Pearson")
    return Regression(
        path=path,
        ridge=ridge,
        dimension=Estimate.exact(
            own.effective_dimension(ridge), "Σ λ / (λ + ridge) of these samples"
        ),
        accuracy=accuracy,
        leverage=fit.leverage,
        suspects=suspects(traced, fit, labels, places) if labels is not None else (),
    )


def prediction_of(
    subject: Subject,
    batches: list[Batch],
    modes: Decomposition,
    own: Decomposition,
    found: Kernel,
    targets: Targets,
    asked: Asked,
) -> tuple[Prediction | None, str]:
    """Return what the kernel says of held-out data, or why it says nothing.

    Args:
        subject: Network and loss.
        batches: The samples.
        modes: Of the kernel as it was asked for.
        own: Of the trace kernel.
        found: The kernel as it was asked for.
        targets: Of the samples.
        asked: The settings.
    """
    if subject.held_out is None:
        return None, NONE_GIVEN
    if targets.values is None or own.values[0] <= 0:
        return None, UNKNOWN
    if asked.kind == "sketch":
        return None, "a sketch has no kernel with held-out samples"
    others = chosen(subject, subject.held_out, asked.samples)
    held = targets_of(subject, others)
    if targets.ignored or held.ignored:
        return None, RAGGED
    cross, outputs = cross_kernel(subject, others, batches, memory_bytes=asked.memory_bytes)

    def told(linearised: Linearised) -> Prediction | None:
        return prediction(
            own,
            cross,
            linearised,
            outputs=found.outputs.astype(np.float64),
            targets=targets,
            held_outputs=outputs.astype(np.float64),
            held=held,
        )

    made = None
    if asked.kind == "full":
        with suppress(ModelError):  # what can be differentiated once only has no products
            made = told(by_full(modes, subject, batches, others))
    if made is None:
        made = told(by_trace(own, cross, outputs.shape[1]))
    return made, "" if made is not None else UNKNOWN
