"""The full kernel without forming it: its largest eigenvalues, trace, and density."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch

from landscape import progress
from landscape.errors import ResourceError
from landscape.estimate import Estimate
from landscape.kernels.nystrom import Approximation, nystrom
from landscape.linalg.density import Density, SpectralMeasure, even_grid
from landscape.linalg.eigenpairs import Eigenpairs
from landscape.linalg.krylov import Krylov
from landscape.linalg.lanczos import block_quadratures
from landscape.linalg.pairs import Pairs
from landscape.linalg.probes import spherical
from landscape.linalg.recurrence import Recurrence
from landscape.linalg.trace import Traces, estimate_traces
from landscape.signals.intervals import over_samples
from landscape.subject.batch import Batch
from landscape.subject.subject import Subject
from landscape.tangent.kernel import Diagonal, diagonal
from landscape.tangent.products import TangentOperator

TOLERANCE = 1e-4  # of a residual, relative to the largest eigenvalue
MOST_PRODUCTS = 1000
STEPS = 40  # of Lanczos for every probe of the Krylov space
RIDGES = (10.0, 1.0, 0.1, 0.01)  # of effective dimensions, over the mean eigenvalue
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
        approximation: What a Nyström approximation proves, where the trace is exact.
        floor: ε λ_max √(N O).
        outputs: O.
    """

    pairs: Eigenpairs
    trace: Estimate
    squared: Estimate
    density: Density
    exact: Diagonal | None
    approximation: Approximation | None
    floor: float
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
    ridge: float = 0.0,
    memory_bytes: int | None = None,
) -> Found:
    """Return the largest eigenvalues, trace and density of the full kernel K = J Jᵀ.

    One Krylov space tells the density, a Nyström approximation, and where the search for the
    largest eigenvalues starts.

    Args:
        subject: In eval mode.
        batches: Samples on its device.
        top: How many eigenvalues.
        probes: Start vectors of the Krylov space.
        seed: Of all random vectors.
        ridge: Over the mean eigenvalue, for the effective dimension; 0: a few.
        memory_bytes: For factors of the exact trace; None: a share of what is free.

    Cost: `STEPS` products a probe, up to `MOST_PRODUCTS` for eigenvalues that have not converged
    by then, 32 to `MOST_PROBES` for the norm; O + 2 passes for the exact trace.
    """
    operator = TangentOperator(subject, batches)
    size = operator.shape[0]
    streams = [torch.Generator().manual_seed(seed * 1009 + k) for k in range(3)]
    space, recurrence = _space(
        operator, probes=probes, steps=min(STEPS, size), generator=streams[1], top=top
    )
    pairs = space.eigenpairs(
        top=min(top, size),
        generator=streams[0],
        tolerance=TOLERANCE,
        max_products=MOST_PRODUCTS,
    )
    traces = estimate_traces(
        operator, blocks=[], generator=streams[2], known=pairs.known, max_probes=MOST_PROBES
    )
    exact, trace = _trace(subject, batches, traces, memory_bytes)
    eps = float(torch.finfo(subject.dtype).eps)
    floor = eps * float(pairs.top.values[0]) * math.sqrt(size)
    approximation = None
    if exact is not None:
        near = nystrom(recurrence, floor=floor)
        approximation = near.approximation(
            trace=float(exact.values.sum()),
            rounding=2 * max(exact.agreement, eps) * float(exact.values.sum()),  # of squares
            size=min(size, subject.parameters.size),
            ridges=_ridges(trace.value / size, ridge),
        )
    return Found(
        pairs=pairs,
        trace=trace,
        squared=traces.frobenius_squared,
        density=_density(space.measure),
        exact=exact,
        approximation=approximation,
        floor=floor,
        outputs=operator.outputs,
    )


def _space(
    operator: TangentOperator, *, probes: int, steps: int, generator: torch.Generator, top: int
) -> tuple[Krylov, Recurrence]:
    """Return the Krylov space of random probes, and the Lanczos run that holds its basis."""
    size = operator.shape[0]
    like = torch.empty(size, dtype=operator.dtype, device=operator.device)
    starts = spherical(probes, size, like=like, generator=generator)
    with progress.task("Krylov space", probes * steps) as task:
        quadratures, recurrence = block_quadratures(operator, starts, steps, None, task)
    ritz = recurrence.ritz()
    kept = torch.arange(len(ritz.values)).flip(0)[:top]
    largest = Pairs(
        ritz.values[kept].numpy(),
        ritz.residuals[kept].numpy(),
        recurrence.combine(ritz.weights.T[kept]),
    )
    measure = SpectralMeasure(quadratures, size)
    return Krylov(operator, measure, largest, probes * steps), recurrence


def _ridges(mean: float, ridge: float) -> tuple[float, ...]:
    kept = (ridge,) if ridge else RIDGES
    return tuple(one * mean for one in kept) if mean > 0 else ()


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
