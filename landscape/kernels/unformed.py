"""The answer where the full kernel is not formed: all that its products tell."""

from __future__ import annotations

import math

from landscape.estimate import worst
from landscape.kernels import alignment as aligned
from landscape.kernels.asked import Asked
from landscape.kernels.by_products import found_by_products
from landscape.kernels.fitting import descent_of
from landscape.kernels.inputs import repeated, uncounted
from landscape.kernels.reading import missing, precision_of, shares_of_layers
from landscape.kernels.result import NtkResult
from landscape.kernels.targets import targets_of
from landscape.subject.batch import Batch
from landscape.subject.subject import Subject

NOT_FORMED = "the kernel was not formed"
FORMLESS = "The full kernel does not fit the memory: its largest eigenvalues are by products."


def unformed(subject: Subject, batches: list[Batch], asked: Asked, samples: int) -> NtkResult:
    """Return the answer at the subject's checkpoint, for so many samples on its device."""
    found = found_by_products(
        subject,
        batches,
        top=asked.top,
        probes=asked.probes,
        seed=asked.seed,
        ridge=asked.ridge,
        memory_bytes=asked.memory_bytes,
    )
    targets = targets_of(subject, batches)
    dynamics, why = descent_of(subject, batches, targets, None, asked)
    copies = repeated(batches, targets.counted)
    values, floor = found.pairs.top.values, found.floor
    not_formed = missing(NOT_FORMED)
    power = None
    if targets.centred is not None:
        vectors = found.pairs.top.vectors.double().cpu().numpy().T
        kept = (
            targets.centred.ravel() if targets.counted is None else targets.centred[targets.counted]
        )
        power = aligned.target_power(vectors, kept[:, None])
    statuses = [found.pairs.status] + ([] if dynamics is None else [dynamics.sharpness.status])
    return NtkResult(
        status=worst(*statuses),
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
        approximation=found.approximation,
        floor=floor,
        trace=found.trace,
        condition=found.condition,
        alignment=not_formed,
        alignment_centred=not_formed,
        rank=int((values > floor).sum()),
        participation=found.participation,
        entropy_rank=not_formed,
        power=power,
        layers=shares_of_layers(subject, found.exact),
        dynamics=dynamics,
        dynamics_reason=why,
        prediction_reason=NOT_FORMED,
        agreement=found.exact.agreement if found.exact is not None else math.nan,
        precision=precision_of(subject),
        ignored=targets.ignored,
        unknown=uncounted(subject, batches),
        repeated=copies.samples,
    )
