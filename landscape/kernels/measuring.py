"""From a subject to the answer: one kernel, and everything that is read off it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from landscape.estimate import Status
from landscape.kernels.asked import Asked, chosen_at, directions
from landscape.kernels.by_products import trace_of
from landscape.kernels.decomposition import decomposition
from landscape.kernels.dynamics import Dynamics
from landscape.kernels.fitting import descent_of, prediction_of, regression_of
from landscape.kernels.inputs import repeated, uncounted
from landscape.kernels.planning import plan_of
from landscape.kernels.reading import (
    alignment_of,
    alignments_by_layer,
    alignments_by_output,
    change_of,
    participation_of,
    participation_of_modes,
    power_in_modes,
    precision_of,
    shares_of_layers,
    sketch_error,
    sketched,
    traced_of,
)
from landscape.kernels.result import NtkResult
from landscape.kernels.targets import Targets, targets_of
from landscape.kernels.unformed import unformed
from landscape.subject.batch import Batch
from landscape.subject.subject import Subject
from landscape.tangent.calling import outputs_of
from landscape.tangent.kernel import Kernel, fits, kernel
from landscape.tangent.plan import KernelPlan


@dataclass(frozen=True, kw_only=True)
class Measured:
    """An answer, and the kernel that a later checkpoint is compared to, if it was formed."""

    answer: NtkResult
    kernel: np.ndarray | None


def measured(
    subject: Subject, asked: Asked, before: tuple[np.ndarray, np.ndarray] | None
) -> Measured:
    """Return the answer at the subject's checkpoint.

    Args:
        subject: With one checkpoint.
        asked: The settings.
        before: The kernels of the first checkpoint and of the one before.
    """
    batches, places = chosen_at(subject, subject.batches, asked.samples)
    samples = sum(one.samples for one in batches)
    if _too_large(subject, batches, asked, samples):
        return Measured(answer=unformed(subject, batches, asked, samples), kernel=None)
    targets = targets_of(
        subject, batches, curved=asked.kind == "full" and subject.criterion.separable
    )
    found, made = _kernel(subject, batches, asked, samples)
    outputs = made.outputs
    whole = sketched(found) if asked.kind == "sketch" else found.values
    traced = traced_of(whole, asked.kind, outputs)
    copies = repeated(batches, targets.counted)
    eps = float(torch.finfo(subject.dtype).eps)
    modes = decomposition(whole, precision=eps, counted=_rows(targets, asked.kind))
    own = modes if asked.kind in ("trace", "sketch") else decomposition(traced, precision=eps)
    dynamics, why = descent_of(subject, batches, targets, found, asked)
    regression = regression_of(own, traced, targets, asked, places)
    predicted, reason = prediction_of(subject, batches, modes, own, found, targets, asked)
    answer = NtkResult(
        status=dynamics.sharpness.status if dynamics is not None else Status.CONVERGED,
        message=_message(dynamics),
        kind=asked.kind,
        checkpoint=subject.checkpoint.label,
        step=subject.checkpoint.step,
        samples=samples,
        outputs=outputs,
        parameters=subject.parameters.size,
        eigenvalues=modes.values,
        floor=modes.floor,
        trace=trace_of(np.diagonal(traced)),
        condition=modes.condition,
        alignment=alignment_of(traced, targets, centred=False),
        alignment_centred=alignment_of(traced, targets, centred=True),
        rank=modes.rank,
        participation=participation_of(traced) if own is modes else participation_of_modes(modes),
        entropy_rank=modes.entropy_rank,
        by_output=alignments_by_output(whole, traced, targets, asked.kind),
        by_layer=alignments_by_layer(subject, found, traced, targets),
        power=power_in_modes(modes, own, targets, asked.kind),
        layers=shares_of_layers(subject, found, asked.probes if asked.kind == "sketch" else 1),
        dynamics=dynamics,
        dynamics_reason=why,
        regression=regression,
        prediction=predicted,
        prediction_reason=reason,
        change=change_of(whole, before, asked.kind, outputs),
        sketch_error=sketch_error(found) if asked.kind == "sketch" else None,
        plan=made.layers,
        tiles=made.tiles,
        block=found.block,
        agreement=found.agreement,
        precision=precision_of(subject),
        memory=made.memory,
        ignored=targets.ignored,
        unknown=uncounted(subject, batches),
        repeated=copies.samples,
        zeros=copies.zeros(asked.kind, outputs),
    )
    return Measured(answer=answer, kernel=whole)


def _rows(targets: Targets, kind: str) -> np.ndarray | None:
    """Return which rows of the kernel are of outputs that the loss reads; None: all."""
    if targets.counted is None or kind not in ("full", "classes"):
        return None
    return targets.counted.ravel() if kind == "full" else targets.counted.T


def _too_large(subject: Subject, batches: list[Batch], asked: Asked, samples: int) -> bool:
    """Return whether products take the place of the full kernel."""
    if asked.kind != "full":
        return asked.kind == "products"
    outputs = outputs_of(subject, batches[0])
    return not fits(samples**2, outputs, "full", asked.memory_bytes)


def _kernel(
    subject: Subject, batches: list[Batch], asked: Asked, samples: int
) -> tuple[Kernel, KernelPlan]:
    """Return the kernel, and the plan by which it is computed."""
    combine = directions(subject, batches, asked)
    made = plan_of(subject, batches, asked, samples, combine)
    found = kernel(
        subject,
        kind=asked.tiled,
        batches=batches,
        combine=combine,
        memory_bytes=asked.memory_bytes,
        block=made.block,
        by_layer=True,
    )
    return found, made if combine is None else replace(made, outputs=len(combine))


def _message(dynamics: Dynamics | None) -> str:
    if dynamics is None or dynamics.sharpness.status.settled:
        return ""
    return "The largest learning rate did not converge."
