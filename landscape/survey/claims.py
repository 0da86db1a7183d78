"""What two sections must agree on at one checkpoint, within their doubts.

What cannot be compared (another matrix, other samples, a number that did not converge) is left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from landscape.bracket.result import LipschitzResult
from landscape.estimate import Estimate
from landscape.kernels.result import NtkResult
from landscape.signals.result import GradientsResult
from landscape.spectra.result import SpectrumResult
from landscape.surfaces.curvature import Check
from landscape.survey.held import Held, solved

STEEP = 1e-3  # relative, by which a Jacobian in single precision may pass a bound
DUAL = 0.01  # relative, as the section itself takes it


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
    low, high = solved(top)
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
    if check.product is not None and not check.left_out:
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
    low, high = solved(bottom[0])[0], solved(top[0])[1]
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
