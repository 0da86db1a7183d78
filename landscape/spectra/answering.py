"""The answer at one checkpoint, from what products of the curvature told."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from landscape.estimate import Estimate, worst
from landscape.linalg.density import SpectralMeasure, bulk_grid, even_grid
from landscape.linalg.eigenpairs import Eigenpairs
from landscape.linalg.operator import LinearOperator
from landscape.linalg.trace import Traces
from landscape.spectra.critical_point import kind_of_point
from landscape.spectra.curvature import Curvature, differentiation
from landscape.spectra.directions import Direction, directions
from landscape.spectra.dynamics import Dynamics
from landscape.spectra.ends import Ends
from landscape.spectra.outliers import classes_of, count_outliers
from landscape.spectra.result import LayerTrace, SpectrumResult
from landscape.spectra.sampling import Sampled
from landscape.spectra.stability import StabilityMargin
from landscape.spectra.subspace import gradient_shares
from landscape.spectra.summary import Summary, condition, summarise
from landscape.subject.rounding import gradient_error, rounded_length
from landscape.subject.subject import Subject

SHARP = ("hessian", "gauss-newton")  # whose largest eigenvalue tells how large steps may be
OTHER = "it is of the Hessian or the Gauss-Newton matrix"  # why there is none of the others
DATA = "the given data"


@dataclass(frozen=True, kw_only=True)
class Found:
    """What products told of the curvature at one checkpoint.

    Args:
        curvature: Which matrix it is.
        precondition: By what it was preconditioned, in words.
        dynamics: The steps that training takes.
        operator: The matrix.
        layers: Name, start and stop of each.
        pairs: At both ends.
        measure: The density.
        traces: Of the whole, and of each layer.
        sampled: Eigenvalues and trace with their intervals over the data.
    """

    curvature: Curvature
    precondition: str
    dynamics: Dynamics
    operator: LinearOperator
    layers: list[tuple[str, int, int]]
    pairs: Eigenpairs
    measure: SpectralMeasure
    traces: Traces
    sampled: Sampled


def answer_of(subject: Subject, found: Found) -> SpectrumResult:
    """Return the answer, without what is only computed where it is asked for.

    Cost: a gradient, a loss, and what the kind of the critical point takes.
    """
    curvature, pairs, measure = found.curvature, found.pairs, found.measure
    gradient = curvature.gradient(subject)
    error = gradient_error(subject, subject.point)
    off = curvature.inward(error) if error is not None else None
    slope = rounded_length(gradient, off, DATA)
    loss = curvature.loss(subject, subject.point.theta)
    turned = directions(pairs, [(first, last) for _, first, last in found.layers])
    summary = _summary(found)
    largest = found.sampled.top[0]
    bulk = bulk_grid(measure)
    grid, width = even_grid(measure)
    margin, reason = _stability(found, largest)
    return SpectrumResult(
        status=worst(pairs.status, measure.status, found.traces.trace.status),
        operator=curvature.kind,
        precondition=found.precondition,
        weight_decay=curvature.weight_decay,
        checkpoint=subject.checkpoint.label,
        step=subject.checkpoint.step,
        parameters=found.operator.shape[0],
        loss=Estimate.exact(loss, DATA),
        gradient_norm=slope,
        complete=pairs.complete,
        eigenvalues=Ends(top=found.sampled.top, bottom=found.sampled.bottom),
        trace=found.sampled.trace,
        frobenius_squared=found.traces.frobenius_squared,
        density=measure.density(grid, width),
        bulk=measure.density(*bulk) if bulk is not None else None,
        distribution=measure.distribution(grid),
        effective_rank=measure.effective_rank(),
        stable_rank=summary.stable_rank,
        effective_dimension=summary.effective_dimension,
        ridge=summary.ridge,
        negative_mass=summary.negative_mass,
        negative_fraction=summary.negative_fraction,
        diagonal_share=summary.diagonal_share,
        condition=condition(largest, measure.quantile_of_magnitude(0.5), measure.probes),
        outliers=count_outliers(pairs.top.values, classes_of(subject)),
        stability=margin,
        stability_reason=reason,
        critical_point=kind_of_point(
            subject,
            curvature,
            pairs,
            found.sampled.bottom,
            loss=loss,
            gradient=gradient,
            gradient_norm=slope,
        ),
        gradient_share=gradient_shares(pairs, gradient, slope.interval[1] - slope.value),
        participation=tuple(one.participation for one in turned),
        layers=_layers(found, turned),
        groups=found.sampled.groups,
        tolerance=pairs.tolerance,
        symmetry_defect=pairs.symmetry_defect,
        orthogonality=pairs.orthogonality,
        searches=pairs.searches,
        differentiation=differentiation(found.operator),
        probes=measure.probes,
        lanczos_steps=measure.steps,
    )


def _summary(found: Found) -> Summary:
    ends = found.sampled.top[:1] + found.sampled.bottom[:1]
    return summarise(
        found.measure,
        largest=max(ends, key=lambda one: abs(one.value)),
        frobenius_squared=found.traces.frobenius_squared,
        diagonal=found.traces.diagonal,
        ridge=found.curvature.weight_decay or None,
        floor=max(found.pairs.symmetry_defect, float(torch.finfo(found.operator.dtype).tiny)),
    )


def _stability(found: Found, largest: Estimate) -> tuple[StabilityMargin | None, str]:
    """Return the stability margin of the largest eigenvalue, or why there is none."""
    if found.curvature.kind not in SHARP:
        return None, OTHER
    return found.dynamics.margin(largest), found.dynamics.reason


def _layers(found: Found, turned: tuple[Direction, ...]) -> tuple[LayerTrace, ...]:
    return tuple(
        LayerTrace(
            name=name,
            parameters=last - first,
            trace=trace,
            mass=tuple(one.mass[number] for one in turned),
        )
        for number, ((name, first, last), trace) in enumerate(
            zip(found.layers, found.traces.blocks, strict=True)
        )
    )
