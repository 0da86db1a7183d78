"""From a subject to the answer: one kernel, and everything that is read off it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from landscape.errors import SettingError
from landscape.estimate import Estimate, Status
from landscape.kernels import alignment as aligned
from landscape.kernels.by_products import found_by_products, trace_of
from landscape.kernels.decomposition import Decomposition, decomposition
from landscape.kernels.dynamics import Dynamics, dual_modes, dynamics_of
from landscape.kernels.influence import suspects
from landscape.kernels.prediction import Prediction, prediction
from landscape.kernels.regression import fitted, ridge_path
from landscape.kernels.result import (
    Change,
    LayerAlignment,
    LayerShare,
    NtkResult,
    OutputAlignment,
    Regression,
)
from landscape.kernels.targets import UNKNOWN, Targets, targets_of
from landscape.linalg.probes import rademacher
from landscape.signals.intervals import share
from landscape.signals.samples import rows_of
from landscape.subject.batch import Batch
from landscape.subject.batches import Batches
from landscape.subject.subject import Subject
from landscape.tangent.calling import outputs_of
from landscape.tangent.kernel import Diagonal, Kernel, cross_kernel, fits, kernel, layers_of
from landscape.tangent.plan import KernelPlan, plan
from landscape.tangent.tiles import Kind

PLANNED = "only the plan was asked for"
MANY = 20  # outputs, up to which each has an alignment of its own
NOT_FORMED = "the kernel was not formed"
FORMLESS = "The full kernel does not fit the memory: its largest eigenvalues are by products."
INSIDE = "the loss is computed inside the model"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The settings of a question.

    Args:
        kind: Full, trace, classes, sketch or products.
        samples: At most so many.
        probes: Directions of a sketch.
        ridge: Over the mean eigenvalue; 0: the one with the least leave-one-out error.
        rate: Whether the largest stable learning rate is wanted.
        seed: Of directions and start vectors.
        top: Eigenvalues that are found where the kernel is not formed.
        memory_bytes: For factors, tiles and the kernel; None: a share of what is free.
    """

    kind: str
    samples: int
    probes: int
    ridge: float
    rate: bool
    seed: int
    top: int
    memory_bytes: int | None

    @property
    def tiled(self) -> Kind:
        """Return what the tiles hold: a sketch needs every direction by itself."""
        kinds: dict[str, Kind] = {"full": "full", "trace": "trace"}
        return kinds.get(self.kind, "classes")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """An answer, and the kernel that a later checkpoint is compared to, if it was formed."""

    answer: NtkResult
    kernel: np.ndarray | None


def chosen(subject: Subject, data: Batches | None, most: int) -> list[Batch]:
    """Return at most so many samples, evenly spaced over the data, on the subject's device.

    Raises:
        SettingError: There are no data.
    """
    if data is None:
        raise SettingError("no data were given", where="tangent kernel", hint="give --data")
    return list(_picked(data.on(subject.device, subject.dtype), data.samples, most))


def _picked(batches: Iterable[Batch], whole: int, most: int) -> Iterable[Batch]:
    rows = torch.linspace(0, whole - 1, min(most, whole), dtype=torch.float64).round().long()
    start = 0
    for batch in batches:
        kept = rows[(rows >= start) & (rows < start + batch.samples)] - start
        start += batch.samples
        if len(kept):
            yield batch if len(kept) == batch.samples else rows_of(batch, kept)


def planned(subject: Subject, asked: Asked) -> NtkResult:
    """Return the plan of a kernel, with every number of the kernel itself left open."""
    batches = chosen(subject, subject.batches, asked.samples)
    samples = sum(one.samples for one in batches)
    made = _planned(subject, batches, asked, samples, _directions(subject, batches, asked))
    nothing = missing(PLANNED)
    return NtkResult(
        status=Status.SKIPPED,
        message=f"Nothing was computed: {PLANNED}.",
        kind=asked.kind,
        checkpoint=subject.checkpoint.label,
        step=subject.checkpoint.step,
        samples=samples,
        outputs=made.outputs,
        parameters=subject.parameters.size,
        eigenvalues=np.zeros(0),
        residuals=None,
        density=None,
        floor=0.0,
        trace=nothing,
        condition=nothing,
        alignment=nothing,
        alignment_centred=nothing,
        kernel_file=None,
        rank=0,
        participation=nothing,
        entropy_rank=0.0,
        by_output=(),
        by_layer=(),
        power=None,
        layers=(),
        dynamics=None,
        dynamics_reason=PLANNED,
        regression=None,
        prediction=None,
        prediction_reason=PLANNED,
        change=None,
        sketch_error=None,
        plan=made.layers,
        tiles=made.tiles,
        block=made.block,
        agreement=made.agreement,
        precision=_named(subject.dtype),
    )


def measured(
    subject: Subject, asked: Asked, before: tuple[np.ndarray, np.ndarray] | None
) -> Measured:
    """Return the answer at the subject's checkpoint.

    Args:
        subject: With one checkpoint.
        asked: The settings.
        before: The kernels of the first checkpoint and of the one before.
    """
    batches = chosen(subject, subject.batches, asked.samples)
    samples = sum(one.samples for one in batches)
    if _too_large(subject, batches, asked, samples):
        return Measured(answer=_by_products(subject, batches, asked, samples), kernel=None)
    targets = targets_of(subject, batches, curved=asked.kind == "full" and _separable(subject))
    found, made = _kernel(subject, batches, asked, samples)
    outputs = made.outputs
    whole = _sketched(found) if asked.kind == "sketch" else found.values
    traced = traced_of(whole, asked.kind, outputs)
    eps = float(torch.finfo(subject.dtype).eps)
    modes = decomposition(whole, precision=eps)
    own = modes if asked.kind in ("trace", "sketch") else decomposition(traced, precision=eps)
    dynamics, why = _dynamics(subject, batches, targets, found, asked)
    regression = _regression(own, traced, targets, asked)
    predicted, reason = _prediction(subject, batches, own, found, targets, asked)
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
        residuals=None,
        density=None,
        floor=modes.floor,
        trace=trace_of(np.diagonal(traced)),
        condition=modes.condition,
        alignment=_alignment(traced, targets, centred=False),
        alignment_centred=_alignment(traced, targets, centred=True),
        kernel_file=None,
        rank=modes.rank,
        participation=_participation(traced) if own is modes else _of_modes(modes),
        entropy_rank=modes.entropy_rank,
        by_output=_by_output(whole, traced, targets, asked.kind),
        by_layer=_by_layer(subject, found, targets),
        power=_power(modes, own, targets, asked.kind),
        layers=_layers(subject, found, asked.probes if asked.kind == "sketch" else 1),
        dynamics=dynamics,
        dynamics_reason=why,
        regression=regression,
        prediction=predicted,
        prediction_reason=reason,
        change=_change(whole, before, asked.kind, outputs),
        sketch_error=_sketch_error(found) if asked.kind == "sketch" else None,
        plan=made.layers,
        tiles=made.tiles,
        block=found.block,
        agreement=found.agreement,
        precision=_named(subject.dtype),
    )
    return Measured(answer=answer, kernel=whole)


def _too_large(subject: Subject, batches: list[Batch], asked: Asked, samples: int) -> bool:
    """Return whether products take the place of the full kernel."""
    if asked.kind != "full":
        return asked.kind == "products"
    outputs = outputs_of(subject, batches[0])
    return not fits(samples**2, outputs, "full", asked.memory_bytes)


def _by_products(subject: Subject, batches: list[Batch], asked: Asked, samples: int) -> NtkResult:
    """Return the answer for a kernel that is not formed."""
    found = found_by_products(
        subject,
        batches,
        top=asked.top,
        probes=asked.probes,
        seed=asked.seed,
        memory_bytes=asked.memory_bytes,
    )
    targets = targets_of(subject, batches)
    dynamics, why = _dynamics(subject, batches, targets, None, asked)
    values, size = found.pairs.top.values, samples * found.outputs
    floor = float(torch.finfo(subject.dtype).eps) * float(values[0]) * math.sqrt(size)
    not_formed = missing(NOT_FORMED)
    power = None
    if targets.centred is not None:
        vectors = found.pairs.top.vectors.double().cpu().numpy().T
        power = aligned.target_power(vectors, targets.centred.reshape(-1, 1))
    settled = dynamics is None or dynamics.sharpness.status.settled
    return NtkResult(
        status=found.pairs.status if settled else Status.BUDGET_SPENT,
        message=FORMLESS if asked.kind == "full" else "",
        kind="products",
        checkpoint=subject.checkpoint.label,
        step=subject.checkpoint.step,
        samples=samples,
        outputs=found.outputs,
        parameters=subject.parameters.size,
        eigenvalues=values,
        residuals=found.pairs.top.residuals,
        density=found.density,
        floor=floor,
        trace=found.trace,
        condition=found.condition,
        alignment=not_formed,
        alignment_centred=not_formed,
        kernel_file=None,
        rank=int((values > floor).sum()),
        participation=found.participation,
        entropy_rank=math.nan,
        by_output=(),
        by_layer=(),
        power=power,
        layers=_layers(subject, found.exact),
        dynamics=dynamics,
        dynamics_reason=why,
        regression=None,
        prediction=None,
        prediction_reason=NOT_FORMED,
        change=None,
        sketch_error=None,
        plan=(),
        tiles=0,
        block=0,
        agreement=found.exact.agreement if found.exact is not None else math.nan,
        precision=_named(subject.dtype),
    )


def _kernel(
    subject: Subject, batches: list[Batch], asked: Asked, samples: int
) -> tuple[Kernel, KernelPlan]:
    """Return the kernel, and the plan by which it is computed."""
    combine = _directions(subject, batches, asked)
    made = _planned(subject, batches, asked, samples, combine)
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


def _planned(
    subject: Subject, batches: list[Batch], asked: Asked, samples: int, combine: Tensor | None
) -> KernelPlan:
    return plan(
        subject,
        batches[0],
        samples=samples,
        kind=asked.tiled,
        combine=combine,
        memory_bytes=asked.memory_bytes,
    )


def _directions(subject: Subject, batches: list[Batch], asked: Asked) -> Tensor | None:
    """Return the random signs of a sketch (O, R)."""
    if asked.kind != "sketch":
        return None
    return signs(outputs_of(subject, batches[0]), asked.probes, asked.seed, batches[0])


def signs(outputs: int, probes: int, seed: int, batch: Batch) -> Tensor:  # (O, R)
    """Return random signs, the same for every checkpoint, in the precision of a batch's inputs."""
    like = next((t for t in batch.tensors() if t.is_floating_point()), torch.zeros(()))
    generator = torch.Generator().manual_seed(seed)
    drawn = rademacher(probes, outputs, like=like.flatten()[:0], generator=generator)
    return drawn.T.contiguous()


def _sketched(found: Kernel) -> np.ndarray:
    return found.values.mean(0)


def _sketch_error(found: Kernel) -> float:
    """Return the standard error of the mean over directions, over the norm of the mean."""
    count = len(found.values)
    if count < 2:
        return math.inf
    mean = found.values.mean(0)
    spread = sum(float(np.square(one - mean).sum()) for one in found.values)
    return math.sqrt(spread / (count * (count - 1))) / max(float(np.linalg.norm(mean)), 1e-300)


def traced_of(whole: np.ndarray, kind: str, outputs: int) -> np.ndarray:  # (N, N)
    """Return Σ_c K_cc."""
    if kind == "full":
        samples = len(whole) // outputs
        return np.einsum("ncmc->nm", whole.reshape(samples, outputs, samples, outputs))
    return whole.sum(0) if kind == "classes" else whole


def _dynamics(
    subject: Subject,
    batches: list[Batch],
    targets: Targets,
    found: Kernel | None,
    asked: Asked,
) -> tuple[Dynamics | None, str]:
    if not asked.rate:
        return None, "it was not asked for"
    if not _separable(subject):
        return None, INSIDE
    modes = None
    if found is not None and asked.kind == "full" and targets.roots is not None:
        modes = dual_modes(found.values, targets.roots, targets.count)
        modes = modes[modes > float(torch.finfo(subject.dtype).eps) * modes[0]]
    return dynamics_of(subject, batches, targets.count, modes, seed=asked.seed), ""


def _regression(
    own: Decomposition, traced: np.ndarray, targets: Targets, asked: Asked
) -> Regression | None:
    centred = targets.centred
    if centred is None or targets.values is None or own.values[0] <= 0 or not centred.any():
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
        dimension=own.effective_dimension(ridge),
        accuracy=accuracy,
        leverage=fit.leverage,
        suspects=suspects(traced, fit, labels) if labels is not None else (),
    )


def _prediction(
    subject: Subject,
    batches: list[Batch],
    own: Decomposition,
    found: Kernel,
    targets: Targets,
    asked: Asked,
) -> tuple[Prediction | None, str]:
    if subject.held_out is None:
        return None, "no held-out data were given"
    if targets.values is None or own.values[0] <= 0:
        return None, UNKNOWN
    if asked.kind == "sketch":
        return None, "a sketch has no kernel with held-out samples"
    others = chosen(subject, subject.held_out, asked.samples)
    held = targets_of(subject, others)
    cross, outputs = cross_kernel(subject, others, batches, memory_bytes=asked.memory_bytes)
    made = prediction(
        own,
        cross,
        outputs=found.outputs,
        targets=targets,
        held_outputs=outputs,
        held=held,
    )
    return made, "" if made is not None else UNKNOWN


def _alignment(traced: np.ndarray, targets: Targets, *, centred: bool) -> Estimate:
    if targets.values is None:
        return missing(UNKNOWN)
    return aligned.alignment(traced, targets.values, centred=centred)


def _participation(traced: np.ndarray) -> Estimate:
    def of(kept: np.ndarray) -> float:
        part = traced[np.ix_(kept, kept)]
        square = float(np.square(part).sum())
        return float(np.trace(part)) ** 2 / square if square else 0.0

    return aligned.over_groups(of, len(traced), "(tr K)² / ‖K‖²")


def _of_modes(modes: Decomposition) -> Estimate:
    return Estimate.exact(modes.participation, "(Σλ)² / Σλ² of these samples")


def _by_output(
    whole: np.ndarray, traced: np.ndarray, targets: Targets, kind: str
) -> tuple[OutputAlignment, ...]:
    if targets.values is None or targets.values.shape[1] > MANY:
        return ()
    kernels = whole if kind == "classes" else traced
    if kind == "full":
        samples, outputs = targets.values.shape
        kernels = np.einsum("ncmc->cnm", whole.reshape(samples, outputs, samples, outputs))
    found = aligned.alignments_by_output(kernels, targets.values)
    return tuple(OutputAlignment(output=c, alignment=one) for c, one in enumerate(found))


def _power(
    modes: Decomposition, own: Decomposition, targets: Targets, kind: str
) -> np.ndarray | None:
    centred = targets.centred
    if centred is None:
        return None
    if kind == "full" and modes.vectors is not None:
        return aligned.target_power(modes.vectors, centred.reshape(-1, 1))
    if kind == "classes" or own.vectors is None:
        return None
    return aligned.target_power(own.vectors, centred)


def _by_layer(subject: Subject, found: Kernel, targets: Targets) -> tuple[LayerAlignment, ...]:
    if targets.values is None:
        return ()
    sizes = {block.name: block.stop - block.start for block in subject.parameters.blocks}
    total, made = found.trace or 1.0, []
    for name, names in layers_of(subject).items():
        if name in found.layers and any(one in found.shares for one in names):
            one = LayerAlignment(
                name=name,
                parameters=sum(sizes[one] for one in names),
                share=sum(found.shares.get(one, 0.0) for one in names) / total,
                alignment=aligned.alignment(found.layers[name], targets.values, centred=True),
            )
            made.append(one)
    return tuple(made)


def _layers(
    subject: Subject, found: Kernel | Diagonal | None, draws: int = 1
) -> tuple[LayerShare, ...]:
    if found is None:
        return ()
    sizes = {block.name: block.stop - block.start for block in subject.parameters.blocks}
    total = sum(found.shares.values()) or 1.0
    return tuple(
        LayerShare(
            name=name,
            parameters=sizes[name],
            trace=value / draws,
            share=value / total,
            order=found.orders[name],
            unfactored=found.unfactored.get(name, ""),
        )
        for name, value in found.shares.items()
    )


def _change(
    whole: np.ndarray, before: tuple[np.ndarray, np.ndarray] | None, kind: str, outputs: int
) -> Change | None:
    if before is None or kind == "classes" or before[0].shape != whole.shape:
        return None
    rows = outputs if kind == "full" else 1
    first, last = (aligned.distance(one, whole, rows) for one in before)
    scale = float(np.trace(whole)) / (float(np.trace(before[0])) or math.nan)
    return Change(first=first, before=last, scale=scale)


def _message(dynamics: Dynamics | None) -> str:
    if dynamics is None or dynamics.sharpness.status.settled:
        return ""
    return "The largest learning rate did not converge."


def _separable(subject: Subject) -> bool:
    return subject.criterion.separable


def missing(reason: str) -> Estimate:
    """Return a number that is not there, with the reason."""
    return Estimate(
        value=math.nan,
        kind="estimate",
        interval=(math.nan, math.nan),
        status=Status.SKIPPED,
        method="not computed",
        reason=reason,
    )


def _named(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
