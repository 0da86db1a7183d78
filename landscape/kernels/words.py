"""The tangent kernel in words: summary, headline, caption, trust."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from landscape.estimate import Estimate
from landscape.kernels.targets import NONE_GIVEN

if TYPE_CHECKING:
    from landscape.kernels.result import NtkResult

NAMES = {
    "full": "full kernel",
    "trace": "trace kernel",
    "classes": "kernel of every output",
    "sketch": "sketched trace kernel",
    "products": "full kernel by its products",
}


def summary_of(result: NtkResult) -> str:
    """Return what was found in one line."""
    what = f"{NAMES[result.kind]} of {result.samples:,} samples, {result.outputs:,} outputs"
    if result.planned:
        cost = sum(layer.operations for layer in result.plan)
        return (
            f"plan of the {what}: {result.tiles:,} tiles, {cost:.2g} multiplications and additions"
        )
    text = f"{what}: trace {result.trace:.4g}, condition {result.condition:.3g}, "
    if result.partial:
        ends = f"{result.eigenvalues[0]:.4g} to {result.eigenvalues[-1]:.4g}"
        return f"{text}{len(result.eigenvalues):,} largest eigenvalues {ends}"
    text += f"{result.rank:,} of {len(result.eigenvalues):,} eigenvalues above the floor"
    if math.isfinite(result.alignment_centred.value):
        text += f"; alignment with the targets {result.alignment_centred:.3g} (centred)"
    if (reason := result.prediction_reason) and reason != NONE_GIVEN:
        text += f"; no held-out prediction: {reason}"
    return text


def headline_of(result: NtkResult) -> tuple[tuple[str, Estimate], ...]:
    """Return the few numbers that a reader looks for first."""
    if result.planned:
        return ()
    found = [("trace", result.trace), ("condition", result.condition)]
    if math.isfinite(result.alignment_centred.value):
        found.append(("alignment, centred", result.alignment_centred))
    if result.dynamics is not None:
        found.append(("largest learning rate", result.dynamics.largest_rate))
    if result.change is not None:
        found += [("from the first", result.change.first), ("from before", result.change.before)]
    return tuple(found)


def caption_of(result: NtkResult) -> str:
    """Return method and cost of the figure."""
    whole = f"{result.stamp}{NAMES[result.kind].capitalize()} of {result.samples:,} samples"
    if result.planned:
        return f"{whole}: a plan, nothing was computed. Seed {result.seed}"
    if result.partial:
        proved = "ranges proved by a Nyström approximation with the exact trace; "
        return (
            f"{whole}, {result.precision}: block Lanczos with true residuals; "
            f"{proved if result.approximation is not None else ''}density by stochastic "
            f"quadrature. {result.cost.seconds:.1f} s, seed {result.seed}."
        )
    return (
        f"{whole}, factors of every layer held against autograd (largest relative difference "
        f"{result.agreement:.1e}), {result.precision} tiles, float64 eigenvalues; below the floor "
        f"they are rounding. {result.cost.seconds:.1f} s, seed {result.seed}."
    )


def trust_of(result: NtkResult) -> tuple[tuple[str, str], ...]:
    """Return what the numbers rest on."""
    if result.residuals is not None:
        return (*_trust_of_products(result, result.residuals), *_untold(result))
    agreed = "two samples" if result.planned else "every block"
    rows = [
        ("factors against autograd", f"{result.agreement:.1e} at worst, every tensor, {agreed}"),
        ("tiles", f"{result.tiles:,}, blocks of {result.block} samples, {result.precision}"),
    ]
    if result.planned:
        return tuple(rows)
    orders = sorted({layer.order for layer in result.layers})
    counts = [f"{o} {sum(layer.order == o for layer in result.layers)}" for o in orders]
    rows.append(("contraction, parameters", ", ".join(counts) or "none"))
    lacking = [layer.name for layer in result.layers if layer.unfactored]
    rows.append(("without factors", ", ".join(lacking) or "none"))
    below = int(np.sum(result.eigenvalues <= result.floor))
    rows.append(("eigenvalues below the floor", f"{below:,} (floor {result.floor:.2g})"))
    if result.sketch_error is not None:
        rows.append(("error of the sketch", f"{result.sketch_error:.1%} of the kernel's norm"))
    if result.dynamics is not None and result.dynamics.duality is not None:
        gap = f"{result.dynamics.duality:.1e} from the Gauss-Newton products"
        rows.append(("largest mode of the kernel", gap))
    if result.prediction is not None and (trained := result.prediction.training) is not None:
        rows.append(("linearised network", _by(trained.kernel)))
        rows.append(
            ("error of its training", f"{trained.error:.1e} in every loss{trained.doubted}")
        )
    return (*rows, *_untold(result))


def _trust_of_products(result: NtkResult, residuals: np.ndarray) -> tuple[tuple[str, str], ...]:
    largest = float(residuals.max()) / (float(result.eigenvalues[0]) or 1.0)
    rows = [
        ("products", f"vᵀKv and ‖Jᵀv‖² agree in every one, {result.precision}"),
        ("residuals of the eigenvalues", f"at most {largest:.1e} of the largest eigenvalue"),
        ("trace", result.trace.method),
        ("Nyström approximation", _proof(result)),
    ]
    if math.isfinite(result.agreement):
        agreed = f"{result.agreement:.1e} at worst, every tensor, every block"
        rows.append(("factors of the trace against autograd", agreed))
    return tuple(rows)


def _proof(result: NtkResult) -> str:
    if (found := result.approximation) is None:
        return "proves nothing: the trace is an estimate, one sample's factors do not fit"
    return f"rank {len(found.lower)}, misses {found.missed.interval[1]:.2%} of the trace at most"


def _untold(result: NtkResult) -> tuple[tuple[str, str], ...]:
    """Return what the kernel leaves out, and why numbers are missing."""
    rows = [("outputs that the loss reads", _read(result))] if result.ignored else []
    if result.unknown:
        rows.append(("outputs that the loss reads", result.unknown))
    if result.repeated:
        rows.append(("samples with the inputs of another", f"{result.repeated:,}"))
    reasons = (
        ("learning rate", result.dynamics_reason),
        ("held-out prediction", result.prediction_reason),
        ("linearised training", _untrained(result)),
    )
    return (*rows, *((name, f"not told: {reason}") for name, reason in reasons if reason))


def _by(kernel: str) -> str:
    apart = "; --kind full tells how they differ" if kernel.startswith("the mean") else ""
    return f"by {kernel}{apart}"


def _untrained(result: NtkResult) -> str:
    return result.prediction.training_reason if result.prediction is not None else ""


def _read(result: NtkResult) -> str:
    whole = result.samples * result.outputs
    return f"{whole - result.ignored:,} of {whole:,}; the others have no rows in the kernel"
