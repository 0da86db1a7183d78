"""A proved bound and an attained one made into an answer, every number labelled."""

from __future__ import annotations

import math

from landscape import budget
from landscape.bracket.certificates import Certificates
from landscape.bracket.result import ChainBracket, LayerBracket, LipschitzResult, NetworkBracket
from landscape.estimate import Estimate, Status, worst
from landscape.lipschitz.attained import Attained
from landscape.lipschitz.network import LayerNorm, NetworkBound
from landscape.subject.subject import Subject
from landscape.subject.trial import Trial

FLOAT = "in float64 with a margin for rounding, for the network in exact arithmetic"
RADIUS = "On a ball there is one: give --radius, or --data, whose longest sample sets it."
AGREED = 1e-9  # relative difference of both sides that counts as none


def answer_of(
    subject: Subject,
    bound: NetworkBound,
    chains: Certificates,
    reached: Attained | str,
    trial: Trial | None = None,
) -> LipschitzResult:
    """Return the answer.

    Args:
        subject: What was studied.
        bound: What is proved.
        chains: What proves it of feed-forward parts.
        reached: What is attained; why not, where nothing is.
        trial: The inputs that stood in for data; None where there were some.

    Raises:
        RuntimeError: A pair attains more than is proved, which is a defect of the proof.
    """
    lower = reached.value if isinstance(reached, Attained) else math.nan
    if lower > bound.upper * (1 + 1e-6):
        raise RuntimeError(f"a pair attains {lower}, above the proved bound {bound.upper}")
    network = NetworkBracket(
        upper=_upper(bound, lower),
        lower=_lower(reached, bound.upper, of_data=trial is None),
        ratio=bound.upper / lower if math.isfinite(bound.upper) and lower > 0 else None,
    )
    refused = bound.refused or bound.unbounded
    status, message = _status(bound, chains, reached)
    if trial is not None and trial.tokens is None and any(one.local for one in bound.refused):
        message += f" {RADIUS}"
    return LipschitzResult(
        status=status,
        message=message,
        checkpoint=subject.checkpoint.label,
        step=subject.checkpoint.step,
        domain=bound.domain,
        radius=bound.radius if math.isfinite(bound.radius) else None,
        network=network,
        layers=tuple(_layer(one) for one in bound.layers),
        refused=tuple(one.told for one in refused),
        reasons=tuple(one.reason for one in refused),
        chains=tuple(_chains(bound, chains)),
        at_data=_at_data(reached) if trial is None else None,
        verified=chains.verified,
        inputs=trial.told if trial is not None else "",
    )


def _status(
    bound: NetworkBound, chains: Certificates, reached: Attained | str
) -> tuple[Status, str]:
    if bound.refused:
        told = bound.refused[0]
        return Status.SKIPPED, f"No upper bound: {told.told}: {told.reason}."
    if not math.isfinite(bound.upper):
        return Status.NOT_FINITE, "The product of the constants exceeds what float64 holds."
    statuses = [chains.status]
    if isinstance(reached, Attained):
        statuses.append(reached.status)
    status = worst(*statuses)
    if status is not Status.BUDGET_SPENT:
        return status, ""
    if budget.spent():
        return status, "Both sides hold; the search for tighter ones was cut short."
    return Status.CONVERGED, (
        "Both sides hold; tighter ones were sought for as long as the settings allow."
    )


def _upper(bound: NetworkBound, lower: float) -> Estimate:
    if not math.isfinite(bound.upper):
        reason = "the product of the constants exceeds what float64 holds"
        if bound.refused:
            first = bound.refused[0]
            more = f" (and {len(bound.refused) - 1} more)" if len(bound.refused) > 1 else ""
            reason = f"{first.told}: {first.reason}{more}"
        return _missing("upper_bound", math.inf, reason, "refused")
    domain = "everywhere" if bound.domain == "global" else f"on the ball ‖x‖ ≤ {bound.radius:.6g}"
    low = lower if math.isfinite(lower) else 0.0
    return Estimate(
        value=bound.upper,
        kind="upper_bound",
        interval=(min(low, bound.upper), bound.upper),
        level=1.0,
        method=f"certified: composed over the graph, {domain}, {FLOAT}",
    )


def _lower(reached: Attained | str, upper: float, *, of_data: bool) -> Estimate:
    if isinstance(reached, str):
        return _missing("lower_bound", math.nan, reached, "none")
    return Estimate(
        value=reached.value,
        kind="lower_bound",
        interval=(reached.value, max(upper, reached.value)),
        level=1.0,
        samples=reached.samples if of_data else 1,
        method="attained: a pair of inputs, evaluated in float64 less its rounding",
    )


def _at_data(reached: Attained | str) -> Estimate | None:
    if isinstance(reached, str):
        return None
    return Estimate(
        value=reached.at_data,
        kind="estimate",
        interval=(reached.at_data, reached.at_data),
        samples=reached.samples,
        method="estimate: largest singular value of the Jacobian found at a sample",
    )


def _missing(kind: str, value: float, reason: str, method: str) -> Estimate:
    return Estimate(
        value=value,
        kind=kind,  # pyright: ignore[reportArgumentType]
        interval=(0.0, math.inf),
        level=1.0,
        status=Status.SKIPPED,
        method=method,
        reason=reason,
    )


def _layer(one: LayerNorm) -> LayerBracket:
    exact = math.isfinite(one.lower) and one.upper <= one.lower * (1 + AGREED)
    label = "exact" if exact else "certified"
    if one.note and one.note != "exact":
        label += f", {one.note}"
    if not math.isfinite(one.upper):
        upper = _missing("upper_bound", math.inf, "no bound", "refused")
    elif exact:
        upper = Estimate.exact(one.upper, f"exact: up to rounding in float64; {one.operation}")
    else:
        upper = Estimate(
            value=one.upper,
            kind="upper_bound",
            interval=(one.lower if math.isfinite(one.lower) else 0.0, one.upper),
            level=1.0,
            method=f"certified: {FLOAT}",
        )
    return LayerBracket(
        name=one.name,
        operation=one.operation,
        upper=upper,
        lower=_layer_lower(one, exact=exact),
        label=label,
    )


def _layer_lower(one: LayerNorm, *, exact: bool) -> Estimate:
    if not math.isfinite(one.lower):
        return _missing("lower_bound", math.nan, "no input was looked for", "none")
    if exact:
        return Estimate.exact(one.upper, f"exact: up to rounding in float64; {one.operation}")
    return Estimate(
        value=one.lower,
        kind="lower_bound",
        interval=(one.lower, max(one.upper, one.lower)),
        level=1.0,
        method="attained: by a vector from Lanczos, evaluated in float64",
    )


def _chains(bound: NetworkBound, chains: Certificates) -> list[ChainBracket]:
    made = []
    for one in bound.chains:
        product = one.chain.product()
        method = chains.methods[one.name]
        made.append(
            ChainBracket(
                name=one.name,
                base=one.base,
                widths=tuple(one.chain.widths),
                method=method,
                upper=_certified(one.upper, f"certified: {method}, {FLOAT}"),
                product=_certified(
                    max(product, one.upper), f"certified: product of norms, {FLOAT}"
                ),
            )
        )
    return made


def _certified(value: float, method: str) -> Estimate:
    return Estimate(
        value=value, kind="upper_bound", interval=(0.0, value), level=1.0, method=method
    )
