"""What a reader of a spectrum should not miss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from landscape.answer import Finding

if TYPE_CHECKING:
    from landscape.spectra.critical_point import CriticalPoint
    from landscape.spectra.result import SpectrumResult
    from landscape.spectra.stability import StabilityMargin

ALIGNED = 0.5  # of the gradient in the span of the outliers
SMALL_OPINION = 0.02  # relative, by which another library may differ
APART = 1.0  # decades between the layers' largest eigenvalues


def findings_of(result: SpectrumResult) -> tuple[Finding, ...]:
    """Return the findings, in the order in which they are looked for."""
    looks = (
        _unsettled,
        _zero,
        _edge,
        _kind,
        _outlying,
        _aligned,
        _unlike,
        _few_groups,
        _disagreement,
    )
    return tuple(found for look in looks if (found := look(result)) is not None)


def _unsettled(result: SpectrumResult) -> Finding | None:
    unsettled = sum(not one.status.settled for one in result.pairs)
    if result.complete and not unsettled:
        return None
    return Finding(
        severity="warning",
        sentence="Not every eigenvalue converged, or a pair may have been missed.",
        evidence=f"{unsettled} of {len(result.pairs)} pairs unconverged; "
        f"complete: {result.complete}.",
        advice="Give a larger --budget, where there is one, or raise --max-products of `landscape "
        "spectrum`; or ask it for fewer eigenvalues (--top, --bottom).",
    )


def _zero(result: SpectrumResult) -> Finding | None:
    ends = (*result.eigenvalues.top, *result.eigenvalues.bottom)
    if not ends or any(one.value for one in (*ends, result.trace)):
        return None
    slope = result.gradient_norm
    if not slope.value:
        why = "The gradient is 0 as well."
        advice = "Look for outputs that are saturated, detached or computed without gradients."
    else:
        why = f"The gradient is not, {slope}: network and loss are straight lines between kinks."
        advice = (
            "`landscape spectrum --operator empirical-fisher` is of first derivatives alone; "
            "--operator gauss-newton shows whether the loss bends in the outputs."
        )
    return Finding(
        severity="warning",
        sentence=f"{result.checkpoint}: the curvature is zero, every eigenvalue and the trace.",
        evidence=why,
        advice=advice,
    )


def _edge(result: SpectrumResult) -> Finding | None:
    margin = result.stability
    if margin is None or margin.verdict in ("below", "not judged"):
        return None
    above = margin.verdict == "above"
    sure = "" if margin.settled else " The interval reaches beyond that verdict."
    if margin.batch is not None:
        sure += " Other batches have other statistics, and another λ₁."
    return Finding(
        severity="warning" if above else "notable",
        sentence=f"{result.checkpoint}: {margin.sentence}.",
        evidence=f"Margin {margin.margin} of 1; {margin.source}.{sure}",
        advice=(
            "Lower the learning rate, warm up longer, or expect the loss to spike."
            if above
            else "Training regulates its own sharpness here; a larger learning rate flattens it."
        ),
    )


def _kind(result: SpectrumResult) -> Finding | None:
    point = result.critical_point
    if point is None or point.smallest is None:
        return None
    low, high = point.smallest, result.eigenvalues.top[0]
    share = -low.value / max(abs(high.value), 1e-300)
    end = (low.solver or low.interval)[1]
    if end >= 0 or (share < 0.01 and point.verdict != "saddle"):
        return None
    told = point.escape.sentence if point.escape is not None else ""
    evidence = f"λ_min is {share:.1%} of λ_max ({high}) in size; its residual excludes 0"
    doubt = "solver and other samples" if low.sampling is not None else "solver alone"
    evidence += f" (intervals: {doubt})"
    evidence += f"; {told}." if told else "."
    if point.eval_mode:
        return Finding(
            severity="notable",
            sentence=f"{result.checkpoint}: a direction of curvature {low} of the eval-mode loss.",
            evidence=evidence,
            advice="It does not tell where training stands; --mode train does.",
        )
    return Finding(
        severity="notable",
        sentence=(
            f"{result.checkpoint} is not at a minimum: the loss falls along a direction of "
            f"curvature {low}."
        ),
        evidence=evidence,
        advice="Train on, or step along that direction; do not read it as a minimum.",
    )


def _outlying(result: SpectrumResult) -> Finding | None:
    found, top = result.outliers, result.eigenvalues.top[0]
    if not found.count:
        return None
    classes = f"; {found.comparison}" if found.comparison else ""
    return Finding(
        severity="notable",
        sentence=(
            f"Eigenvalues that stand apart: {found.count}. The curvature is concentrated in few "
            f"directions (λ_max {top})."
        ),
        evidence=(
            f"The ratio across the largest gap is {found.gap_ratio:.2f}{classes}; effective rank "
            f"{result.effective_rank:.3g} of {result.parameters:,}."
        ),
        advice=(
            f"Plain gradient descent is stable only up to a learning rate of 2/λ_max = "
            f"{2 / top.value:.3g}; the other directions then move slowly."
            if _of_training(result)
            else "It bounds no learning rate of training."
        ),
    )


def _of_training(result: SpectrumResult) -> bool:
    """Return whether the matrix is known to be that of the loss that training descends."""
    return result.precondition == "none" and any(not one.eval_mode for one in _told(result))


def _told(result: SpectrumResult) -> tuple[StabilityMargin | CriticalPoint, ...]:
    """Return what knows whether the loss is that of training; nothing for some matrices."""
    return tuple(one for one in (result.stability, result.critical_point) if one is not None)


def _aligned(result: SpectrumResult) -> Finding | None:
    count = result.outliers.count
    if not 0 < count <= len(result.gradient_share):
        return None
    share = result.gradient_share[count - 1]
    if share.interval[0] < ALIGNED:
        return None
    return Finding(
        severity="notable",
        sentence=f"The gradient lies in {count} of {result.parameters:,} directions: {share:.3f} "
        "of its square is in the span of the eigenvalues that stand apart.",
        evidence="Measured on the computed eigenvectors, with the Davis-Kahan bound of their turn.",
        advice=(
            "The steps of training may lie elsewhere."
            if result.of_eval_mode
            else "Steps mostly oscillate along these directions; progress is made in the others."
        ),
    )


def _unlike(result: SpectrumResult) -> Finding | None:
    found = result.heterogeneity
    if found is None or found.spread.interval[0] < APART:
        return None
    ordered = sorted(found.blocks, key=lambda block: float(block.largest))
    low = next(block for block in ordered if block.largest.value > 0)
    high = ordered[-1]
    return Finding(
        severity="notable",
        sentence=f"The layers' curvatures lie {found.spread:.2f} decades apart.",
        evidence=f"Largest eigenvalue {high.largest} in {high.name}, {low.largest} in {low.name}; "
        f"mean Jensen-Shannon distance {found.distance:.2f}.",
        advice="One learning rate for all cannot suit them; rescale by layer or coordinate (Adam).",
    )


def _few_groups(result: SpectrumResult) -> Finding | None:
    if result.groups == 0 or result.groups >= 8:
        return None
    return Finding(
        severity="warning",
        sentence=f"The sampling intervals rest on {result.groups} groups of samples only.",
        evidence="How much groups differ is itself poorly known from so few.",
        advice="Give more samples.",
    )


def _disagreement(result: SpectrumResult) -> Finding | None:
    opinion = result.crosscheck
    if opinion is None or opinion.value is None:
        return None
    ours, theirs = result.eigenvalues.top[0], opinion.value
    nearest = min(result.extremes, key=lambda one: abs(one.value - theirs))
    if abs(nearest.value - theirs) <= SMALL_OPINION * abs(ours.value):
        return None
    return Finding(
        severity="warning",
        sentence=f"PyHessian's top eigenvalue {theirs:.4g} differs from {ours}.",
        evidence="PyHessian reports no residual; ours is listed with its own.",
        advice="Trust the pair that has a residual; PyHessian weighs ragged batches alike.",
    )
