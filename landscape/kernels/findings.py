"""What a reader of a tangent kernel should not miss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from landscape.answer import Finding

if TYPE_CHECKING:
    from landscape.kernels.result import NtkResult

LAZY = 0.1  # distance from the first kernel below which it counts as unchanged
SCALED = 1.25  # ratio of the traces below which it does
BELOW = 0.05  # share of the eigenvalues below the floor that is worth telling
DISAGREES = 0.01
NOISY = 0.1  # of the kernel's norm
MISSED = 0.1  # of the trace, by the Nyström approximation


def findings_of(result: NtkResult) -> tuple[Finding, ...]:
    """Return the findings, gravest first."""
    if result.planned:
        return ()
    looks = (_duality, _padded, _rate, _sketch, _missed, _moved, _repeated, _floor, _contradicted)
    return tuple(one for look in looks if (one := look(result)) is not None)


def _duality(result: NtkResult) -> Finding | None:
    moves = result.dynamics
    if moves is None or moves.duality is None or moves.duality < DISAGREES:
        return None
    return Finding(
        severity="warning",
        sentence="Kernel and Gauss-Newton matrix disagree on the largest eigenvalue.",
        evidence=f"{moves.modes[0]:.4g} by the kernel, {moves.sharpness:.4g} by products.",
        advice="Use --dtype float64; if it stays, the products have not converged.",
    )


def _rate(result: NtkResult) -> Finding | None:
    """Return that the learning rate is beyond what the Gauss-Newton part can stand."""
    moves = result.dynamics
    if moves is None or not moves.rate > moves.largest_rate.interval[1]:
        return None
    return Finding(
        severity="notable",
        sentence="The learning rate is above what the kernel's largest mode can stand.",
        evidence=f"{moves.rate:.3g}, and at most {moves.largest_rate:.3g} for {moves.rule}.",
        advice="Look at the stability margin of `landscape spectrum`, which has the whole Hessian.",
    )


def _sketch(result: NtkResult) -> Finding | None:
    if result.sketch_error is None or result.sketch_error < NOISY:
        return None
    return Finding(
        severity="warning",
        sentence="The sketched kernel is rough.",
        evidence=f"Its standard error is {result.sketch_error:.0%} of its norm.",
        advice="Give more --probes, or use --kind trace.",
    )


def _missed(result: NtkResult) -> Finding | None:
    found = result.approximation
    if found is None or found.missed.interval[0] < MISSED:
        return None
    return Finding(
        severity="notable",
        sentence=f"{found.missed.value:.0%} of the kernel's trace lies outside the modes that "
        "were looked at.",
        evidence=f"tr K − tr K̂ of a Nyström approximation of rank {len(found.lower)}, exactly; "
        f"no eigenvalue after them is above {found.beyond:.3g}.",
        advice="Do not read the spectrum as if it ended there; more --probes look at more modes.",
    )


def _moved(result: NtkResult) -> Finding | None:
    """Return whether the network learned features over the series."""
    if result.change is None:
        return None
    low, high = result.change.first.interval
    least, most = (max(end, 1e-300) for end in result.change.scale.interval)
    if high < LAZY and max(most, 1 / least) < SCALED:
        sentence = "The kernel is nearly that of the first checkpoint."
        advice = "Hold the regression on the first kernel against the network on held-out data."
    elif low > LAZY or max(least, 1 / most) > SCALED:
        sentence = "The kernel changed since the first checkpoint: training was not linear."
        advice = "Predictions from the first kernel do not hold for this one."
    else:
        return None
    return Finding(
        severity="notable",
        sentence=sentence,
        evidence=f"1 − cos from the first is {result.change.first:.3g}, the trace "
        f"{result.change.scale:.3g} times as large.",
        advice=advice,
    )


def _padded(result: NtkResult) -> Finding | None:
    if not result.unknown:
        return None
    return Finding(
        severity="warning",
        sentence="Outputs that the loss ignores may be in the kernel.",
        evidence=result.unknown,
        advice="Give --loss ce with the same labels: its kernel leaves them out.",
    )


def _repeated(result: NtkResult) -> Finding | None:
    """Return that samples are equal, which no precision mends."""
    if not result.repeated:
        return None
    some = "1 sample has" if result.repeated == 1 else f"{result.repeated:,} samples have"
    whole = len(result.eigenvalues)
    told = f"They make {result.zeros:,} of {whole:,} eigenvalues zero in any precision."
    return Finding(
        severity="notable",
        sentence=f"{some} exactly the inputs of another.",
        evidence=told if result.zeros else "Equal inputs have equal rows of the kernel.",
        advice="Leave the copies out for a condition number; their labels count twice in a fit.",
    )


def _floor(result: NtkResult) -> Finding | None:
    if result.partial:
        return None
    below = (len(result.eigenvalues) - result.rank - result.zeros) / len(result.eigenvalues)
    if below < BELOW:
        return None
    return Finding(
        severity="notable",
        sentence=f"{below:.0%} of the eigenvalues are below the floor of rounding"
        f"{', beside those that repeated inputs make zero' if result.zeros else ''}.",
        evidence=f"Floor {result.floor:.3g}; condition {result.condition:.3g}.",
        advice="Do not read the smallest eigenvalue; use --dtype float64 to lower the floor.",
    )


def _contradicted(result: NtkResult) -> Finding | None:
    fit = result.regression
    if fit is None or not fit.suspects or fit.suspects[0].margin <= 0:
        return None
    first = fit.suspects[0]
    return Finding(
        severity="notable",
        sentence=f"Sample {first.sample} has label {first.label}, and all others say "
        f"{first.predicted}.",
        evidence=f"Leave-one-out margin {first.margin:.3g} on the tangent kernel.",
        advice="Look at the suspected samples by eye, the most suspected first.",
    )
