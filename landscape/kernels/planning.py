"""The plan of a kernel as an answer of its own."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from landscape.estimate import Status
from landscape.kernels.asked import Asked, chosen, directions
from landscape.kernels.reading import missing, precision_of
from landscape.kernels.result import NtkResult
from landscape.subject.batch import Batch
from landscape.subject.subject import Subject
from landscape.tangent.calling import outputs_of
from landscape.tangent.kernel import require_room
from landscape.tangent.plan import KernelPlan, plan

PLANNED = "only the plan was asked for"


def planned(subject: Subject, asked: Asked) -> NtkResult:
    """Return the plan of a kernel, with every number of the kernel itself left open."""
    batches = chosen(subject, subject.batches, asked.samples)
    samples = sum(one.samples for one in batches)
    made = plan_of(subject, batches, asked, samples, directions(subject, batches, asked))
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
        trace=nothing,
        condition=nothing,
        alignment=nothing,
        alignment_centred=nothing,
        participation=nothing,
        entropy_rank=nothing,
        dynamics_reason=PLANNED,
        prediction_reason=PLANNED,
        plan=made.layers,
        tiles=made.tiles,
        block=made.block,
        agreement=made.agreement,
        precision=precision_of(subject),
        memory=made.memory,
    )


def require_room_for(subject: Subject, asked: Asked) -> None:
    """Refuse a kernel that could not be held once it is formed.

    Raises:
        ResourceError: It could not.

    Cost: a forward pass over a sample.
    """
    batches = chosen(subject, subject.batches, asked.samples)
    outputs = asked.probes if asked.kind == "sketch" else outputs_of(subject, batches[0])
    samples = sum(one.samples for one in batches)
    require_room(samples**2, outputs, asked.tiled, asked.memory_bytes)


def plan_of(
    subject: Subject, batches: list[Batch], asked: Asked, samples: int, combine: Tensor | None
) -> KernelPlan:
    """Return how the kernel that is asked for would be computed."""
    return plan(
        subject,
        batches[0],
        samples=samples,
        kind=asked.tiled,
        combine=combine,
        memory_bytes=asked.memory_bytes,
    )
