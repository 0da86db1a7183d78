"""What two sections must agree on at one checkpoint, within their doubts.

What cannot be compared (another matrix, other samples, a number that did not converge) is left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from landscape.bracket.result import LipschitzResult
from landscape.estimate import Estimate, Interval
from landscape.kernels.result import NtkResult
from landscape.signals.result import GradientsResult
from landscape.spectra.result import SpectrumResult
from landscape.surfaces.curvature import Check

PROBED = 5.0  # standard deviations of the density's mean: probes of few outliers have long tails
MASS = 0.02  # of the density that its grid may miss
ROUNDING = 1e-3  # relative, of the same number computed in two sections
STEEP = 1e-3  # relative, by which a Jacobian in single precision may pass a bound
DUAL = 0.01  # relative, as the section itself takes it
DOCTOR = "Run `landscape doctor`: one of the two is computed wrongly, or is rounded away."


@dataclass(frozen=True, kw_only=True)
class Held:
    """One comparison at one checkpoint."""

    claim: str
    sections: tuple[str, ...]
    checkpoint: str
    agrees: bool | None
    evidence: str
    advice: str = DOCTOR


def trace_and_density(spectrum: SpectrumResult, where: str) -> Iterator[Held]:
    """Hutchinson's trace, and n times the mean of the density.

    A probe on the sphere gives n vᵀAv with variance 2 n/(n + 2) (‖A‖²_F − tr²A / n).
    """
    density, trace = spectrum.density, spectrum.trace
    grid, value = density.grid, density.value
    if not density.status.settled or len(grid) < 2 or not np.isfinite(value).all():
        return
    mass = _integral(value, grid)
    if abs(mass - 1) > MASS or not math.isfinite(trace.value):
        return
    n = spectrum.parameters
    mean = n * _integral(grid * value, grid) / mass
    squares = max(spectrum.frobenius_squared.value - trace.value**2 / n, 0.0)
    doubt = PROBED * math.sqrt(2 * squares / spectrum.probes)
    doubt += abs(mass - 1) * max(abs(mean), abs(trace.value)) + density.width
    low, high = _solved(trace)
    apart = max(low - mean, mean - high, 0.0)
    yield Held(
        claim="trace: by random signs, and as the mean of the density",
        sections=("spectrum",),
        checkpoint=where,
        agrees=apart <= doubt if math.isfinite(doubt + apart) else None,
        evidence=f"trace {trace:.4g}; n times the density's mean {mean:.4g} ± {doubt:.1g}",
        advice="Take more probes for both (--probes, --max-probes); if it stays, run "
        "`landscape doctor`.",
    )


def _integral(value: np.ndarray, grid: np.ndarray) -> float:
    """Return the integral by trapezoids."""
    return float(np.dot((value[1:] + value[:-1]) / 2, np.diff(grid)))


def loss_and_gradient(
    gradients: GradientsResult, spectrum: SpectrumResult, where: str
) -> Iterator[Held]:
    """Loss and gradient norm, which both sections compute."""
    if spectrum.weight_decay:
        return
    pairs = (
        ("loss", gradients.loss, spectrum.loss, 0.0),
        (
            "gradient norm",
            gradients.total_norm,
            spectrum.gradient_norm,
            ROUNDING**2 * gradients.weight_norm.value,
        ),
    )
    for name, one, other, floor in pairs:
        scale = ROUNDING * max(abs(one.value), abs(other.value)) + floor
        yield Held(
            claim=f"{name}: of the gradients, and of the spectrum",
            sections=("gradients", "spectrum"),
            checkpoint=where,
            agrees=abs(one.value - other.value) <= scale,
            evidence=f"{one.value:.6g} and {other.value:.6g}",
            advice="The network may not repeat itself on the same data: run `landscape doctor`.",
        )


def bound_and_attained(
    lipschitz: LipschitzResult, gradients: GradientsResult | None, where: str
) -> Iterator[Held]:
    """What is proved of the network may not be passed by anything that is attained."""
    upper = lipschitz.network.upper
    if not math.isfinite(upper.value):
        return
    attained: list[tuple[str, Estimate, tuple[str, ...]]]
    attained = [("a pair attains", lipschitz.network.lower, ("lipschitz",))]
    if (steepest := _steepest(lipschitz, gradients)) is not None:
        attained.append(
            ("the steepest Jacobian at a sample is", steepest, ("lipschitz", "gradients"))
        )
    for words, reached, sections in attained:
        if not math.isfinite(reached.value):
            continue
        what = "an attained pair" if len(sections) == 1 else "the Jacobian of the gradients"
        yield Held(
            claim=f"Lipschitz constant: the proved bound, and {what}",
            sections=sections,
            checkpoint=where,
            agrees=reached.interval[0] <= upper.value * (1 + STEEP)
            if reached.kind != "lower_bound"
            else reached.value <= upper.value * (1 + STEEP),
            evidence=f"{words} {reached.value:.4g}, and at most {upper.value:.4g} is proved",
        )


def _steepest(lipschitz: LipschitzResult, gradients: GradientsResult | None) -> Estimate | None:
    """Return the largest singular value at a sample, where the bound holds at all samples."""
    found = gradients.jacobian if gradients is not None else None
    if found is None or found.origin != "input" or not found.layers:
        return None
    whole = lipschitz.domain == "global" or not lipschitz.settings.get("radius")
    return found.layers[-1].largest if whole else None


def products_and_kernel(
    ntk: NtkResult, spectrum: SpectrumResult | None, where: str
) -> Iterator[Held]:
    """The Gauss-Newton matrix by its products, and by the kernel."""
    moves = ntk.dynamics
    if moves is None:
        return
    sharpness = moves.sharpness
    if moves.duality is not None and len(moves.modes):
        yield Held(
            claim="largest Gauss-Newton eigenvalue: by products, and by the kernel",
            sections=("ntk",),
            checkpoint=where,
            agrees=moves.duality < DUAL,
            evidence=f"{sharpness:.4g} and {moves.modes[0]:.4g}",
            advice="",  # a finding of the section
        )
    elif (most := _most(ntk)) is not None:
        yield Held(
            claim="largest Gauss-Newton eigenvalue: by products, below what the kernel's trace "
            "allows",
            sections=("ntk",),
            checkpoint=where,
            agrees=sharpness.interval[0] <= most * (1 + DUAL),
            evidence=f"{sharpness:.4g}, and at most {most:.4g}",
        )
    same = spectrum is not None and spectrum.cost.samples == ntk.samples
    if spectrum is None or not same or not _plain(spectrum, "gauss-newton"):
        return
    top = spectrum.eigenvalues.top[0]
    low, high = _solved(top)
    doubt = high - low + sharpness.half_width + DUAL * abs(top.value)
    yield Held(
        claim="largest Gauss-Newton eigenvalue: of the spectrum, and of the kernel's samples",
        sections=("spectrum", "ntk"),
        checkpoint=where,
        agrees=abs(top.value - sharpness.value) <= doubt,
        evidence=f"{top:.4g} and {sharpness:.4g}",
    )


def _most(ntk: NtkResult) -> float | None:
    """Return what μ_max of G cannot exceed: tr G, with the largest eigenvalue of ∇²ℓ."""
    loss = ntk.provenance.get("loss")
    if ntk.kind not in ("trace", "full") or not math.isfinite(ntk.trace.value):
        return None
    if loss == "ce":  # diag(p) − p pᵀ is at most ½
        return ntk.trace.value / (2 * ntk.samples)
    if loss == "mse":  # the mean over N O elements, without ½
        return 2 * ntk.trace.value / (ntk.samples * ntk.outputs)
    return None


def differences_and_products(check: Check) -> Iterator[Held]:
    """The curvature along an axis of a surface, by differences and by a Hessian product."""
    if check.product is not None:
        yield Held(
            claim="curvature of the surface: by differences, and by Hessian products",
            sections=("surface",),
            checkpoint=check.checkpoint,
            agrees=check.agrees,
            evidence=f"along {check.direction} {check.difference:.4g} and {check.product:.4g}",
            advice="",  # a finding of the section
        )


def slice_and_spectrum(found: SpectrumResult, check: Check) -> Iterator[Held]:
    """The curvature along an axis of a surface lies between the extreme eigenvalues."""
    if check.product is None:
        return
    product = check.product
    top, bottom = found.eigenvalues.top[:1], found.eigenvalues.bottom[:1]
    in_training = found.provenance.get("mode") == "train"
    settled = all(one.status.settled for one in (*top, *bottom)) and found.complete
    if not (_plain(found, "hessian") and top and bottom and settled) or in_training:
        return
    low, high = _solved(bottom[0])[0], _solved(top[0])[1]
    doubt = product.half_width + DUAL * max(abs(low), abs(high))
    yield Held(
        claim="curvature of the surface: between λ_min and λ_max",
        sections=("spectrum", "surface"),
        checkpoint=check.checkpoint,
        agrees=low - doubt <= product.value <= high + doubt,
        evidence=f"along {check.direction} {product.value:.4g}, between {low:.4g} and {high:.4g}",
        advice="An eigenvalue was missed, or the two differ in what they differentiate: raise "
        "--top, or run `landscape doctor`.",
    )


def _plain(spectrum: SpectrumResult, operator: str) -> bool:
    own = spectrum.operator == operator and spectrum.precondition == "none"
    return own and not spectrum.weight_decay


def _solved(estimate: Estimate) -> Interval:
    """Return the interval of a number on these data: the doubt of the samples is none of it."""
    return estimate.solver or estimate.interval
