"""The full kernel without forming it: its largest eigenvalues, trace, and density."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch

from landscape.errors import ResourceError
from landscape.estimate import Estimate
from landscape.linalg.density import Density, SpectralMeasure, even_grid, spectral_measure
from landscape.linalg.eigenpairs import Eigenpairs, eigenpairs
from landscape.linalg.trace import Traces, estimate_traces
from landscape.signals.intervals import over_samples
from landscape.subject.batch import Batch
from landscape.subject.subject import Subject
from landscape.tangent.kernel import Diagonal, diagonal
from landscape.tangent.products import TangentOperator

TOLERANCE = 1e-4  # of a residual, relative to the largest eigenvalue
MOST_PRODUCTS = 1000
STEPS = 40  # of Lanczos for every probe of the density
MOST_PROBES = 64  # of the trace
ENTRY = "Σ_c ‖∇f_c‖² over samples, Student's t"


@dataclass(frozen=True, kw_only=True)
class Found:
    """What products tell of the full kernel.

    Args:
        pairs: The largest eigenvalues, with true residuals.
        trace: Exact where the factors of a sample fit, else Hutchinson's.
        squared: ‖K‖²_F, Hutchinson's.
        density: Of all N O eigenvalues.
        exact: Traces of every parameter, where the factors of a sample fit.
        outputs: O.
    """

    pairs: Eigenpairs
    trace: Estimate
    squared: Estimate
    density: Density
    exact: Diagonal | None
    outputs: int

    @property
    def participation(self) -> Estimate:
        """Return (tr K)² / ‖K‖²_F, with the interval of the norm."""
        low, high = self.squared.interval
        square = self.trace.value**2
        value = square / self.squared.value if self.squared.value else 0.0
        return Estimate(
            value=value,
            kind="estimate",
            interval=(square / high if high else 0.0, square / low if low else math.inf),
            level=self.squared.level,
            samples=self.squared.samples,
            status=self.squared.status,
            method=f"(tr K)² / ‖K‖², the norm by {self.squared.method}",
        )

    @property
    def condition(self) -> Estimate:
        """Return what the condition number is at least: over the smallest that was found."""
        values = self.pairs.top.values
        value = float(values[0] / values[-1]) if values[-1] > 0 else math.inf
        return Estimate(
            value=value,
            kind="lower_bound",
            interval=(value, math.inf),
            level=1.0,
            method=f"the largest over the {len(values)}-th eigenvalue",
        )


def found_by_products(
    subject: Subject,
    batches: list[Batch],
    *,
    top: int,
    probes: int,
    seed: int,
    memory_bytes: int | None = None,
) -> Found:
    """Return the largest eigenvalues, trace and density of the full kernel K = J Jᵀ.

    Args:
        subject: In eval mode.
        batches: Samples on its device.
        top: How many eigenvalues.
        probes: Start vectors of the density.
        seed: Of all random vectors.
        memory_bytes: For factors of the exact trace; None: a share of what is free.

    Cost: up to `MOST_PRODUCTS` products for the eigenvalues, `STEPS` a probe, 32 to `MOST_PROBES`
    for the norm; O + 2 passes for the exact trace.
    """
    operator = TangentOperator(subject, batches)
    size = operator.shape[0]
    streams = [torch.Generator().manual_seed(seed * 1009 + k) for k in range(3)]
    pairs = eigenpairs(
        operator,
        top=min(top, size),
        generator=streams[0],
        tolerance=TOLERANCE,
        max_products=MOST_PRODUCTS,
    )
    measure = spectral_measure(
        operator, probes=probes, steps=min(STEPS, size), generator=streams[1]
    )
    traces = estimate_traces(
        operator, blocks=[], generator=streams[2], known=pairs.known, max_probes=MOST_PROBES
    )
    exact, trace = _trace(subject, batches, traces, memory_bytes)
    return Found(
        pairs=pairs,
        trace=trace,
        squared=traces.frobenius_squared,
        density=_density(measure),
        exact=exact,
        outputs=operator.outputs,
    )


def trace_of(diagonal: np.ndarray) -> Estimate:
    """Return the trace from the diagonal (N,) of the trace kernel, with the doubt of the choice."""
    each = over_samples(diagonal, ENTRY)
    low, high = (len(diagonal) * end for end in each.interval)
    interval = (max(low, 0.0), high)
    return replace(each, value=float(diagonal.sum()), interval=interval, sampling=interval)


def _trace(
    subject: Subject, batches: list[Batch], traces: Traces, memory_bytes: int | None
) -> tuple[Diagonal | None, Estimate]:
    try:
        found = diagonal(subject, batches, memory_bytes=memory_bytes)
    except ResourceError:
        return None, traces.trace
    return found, trace_of(found.values)


def _density(measure: SpectralMeasure) -> Density:
    return measure.density(*even_grid(measure))
