"""The largest eigenvalue and the trace of the Hessian at one network."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from landscape.estimate import Estimate
from landscape.linalg.eigenpairs import eigenpairs
from landscape.linalg.trace import estimate_traces
from landscape.spectra.curvature import Curvature
from landscape.spectra.ends import Ends, eigenvalues
from landscape.spectra.sampling import sample
from landscape.subject.subject import Subject


@dataclass(frozen=True, kw_only=True)
class Sharpness:
    """λ₁ and tr H of the mean loss over the given data."""

    largest: Estimate
    trace: Estimate


def sharpness(
    subject: Subject, *, max_products: int, trace_tolerance: float, max_probes: int, seed: int
) -> Sharpness:
    """Return λ₁ and the trace at a subject's checkpoint, with what other samples would change.

    Args:
        subject: With one checkpoint.
        max_products: To spend on λ₁.
        trace_tolerance: Half-width at which the trace is good enough, relative.
        max_probes: Most random vectors for the trace.
        seed: Of every random draw.

    Cost: some tens of products for λ₁, 32 to `max_probes` for the trace, 9 for the sampling.
    """
    generator = torch.Generator().manual_seed(seed)
    curvature = Curvature(kind="hessian", seed=seed)
    operator = curvature.of(subject)
    pairs = eigenpairs(operator, top=1, generator=generator, max_products=max_products)
    traces = estimate_traces(
        operator,
        blocks=[],
        generator=generator,
        known=pairs.known,
        tolerance=trace_tolerance,
        max_probes=max_probes,
    )
    ends = Ends(top=eigenvalues(pairs.top, pairs), bottom=())
    vectors = (pairs.top.vectors, pairs.bottom.vectors)
    found = sample(subject, curvature, ends, vectors, traces.trace, generator=generator)
    return Sharpness(largest=found.top[0], trace=found.trace)
