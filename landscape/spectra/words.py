"""How the search for a spectrum ended, in words: what bound it, what it did not reach or leave."""

from __future__ import annotations

from landscape import budget
from landscape.estimate import Estimate, Status
from landscape.linalg.density import SpectralMeasure
from landscape.linalg.eigenpairs import Eigenpairs
from landscape.spectra.stability import StabilityMargin

LEAST_PROBES = 2  # for density and pairs, and again for the trace: without them there is no answer


def reached(pairs: Eigenpairs) -> str | None:
    """Return the bound of the budget that ended the search, in words; None: none did."""
    if pairs.status is not Status.BUDGET_SPENT:
        return None
    return budget.reached() or f"the budget of {budget.told()}"


def message_of(
    pairs: Eigenpairs,
    measure: SpectralMeasure,
    trace: Estimate,
    limit: str | None,
    tolerance: float,
) -> str:
    """Return whether pairs, density and trace are as asked, and what to raise where they are not.

    Args:
        pairs: The pairs that were found.
        measure: The density.
        trace: Its estimate.
        limit: The bound of the budget that ended the search for pairs; None: none did.
        tolerance: Half-width at which the trace is good enough, relative.
    """
    parts = []
    if not pairs.complete or not pairs.status.settled:
        ended = (
            f"{limit} was spent; raise it."
            if limit
            else f"the search ended after {pairs.products:,} products; raise --max-products of "
            "`landscape spectrum`."
        )
        parts.append(f"Pairs: not every one converged, or one may have been missed: {ended}")
    if not measure.status.settled:
        parts.append("Density: the budget was spent after too few Lanczos steps; raise it.")
    if trace.status is Status.BUDGET_SPENT:
        parts.append(f"Trace: the budget ended it after {trace.samples} probes; raise it.")
    elif not trace.status.settled:
        parts.append(
            f"Trace: {trace.samples} probes were not enough for ±{100 * tolerance:.3g} %; raise "
            "--max-probes of `landscape spectrum`."
        )
    return " ".join(parts) or "Every pair converged, none was missed, and the trace is as asked."


def unsettled_margin(margin: StabilityMargin | None) -> str:
    """Return that λ₁(P⁻¹H) of a margin beside the plain spectrum is not settled; else nothing."""
    if margin is None or not margin.preconditioned or margin.margin.status.settled:
        return ""
    return (
        " Stability margin: λ₁(P⁻¹H) did not converge; raise --max-products of `landscape spectrum`"
        " or the budget."
    )


def left_out(names: list[str], left: int | None) -> str:
    """Return what the budget did not last for, and what it takes at least."""
    told = f" Left out, as the budget did not last for it: {', '.join(names)}." if names else ""
    if left is not None and left < 2 * LEAST_PROBES:
        told += (
            f" No answer takes fewer than {2 * LEAST_PROBES} products: {LEAST_PROBES} for density "
            f"and pairs, {LEAST_PROBES} for the trace."
        )
    return told
