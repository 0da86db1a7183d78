"""How far a number would move on other samples: intervals from groups of the data."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.special import stdtrit
from torch import Tensor

from landscape import budget
from landscape.estimate import Estimate, Interval
from landscape.linalg.probes import rademacher
from landscape.spectra.curvature import Curvature
from landscape.spectra.ends import Ends
from landscape.spectra.groups import GroupForms, group_forms
from landscape.subject.subject import Subject

FITTED = "sampling: groups of the samples that the eigenvector was fitted to"
TRACE_PROBES = 8
ADDS_UP = 1e-3  # of the largest |λ|: how far the groups' sum may be from the whole
LOG_LIMIT = 1.0  # of the value: a wider interval is not also taken on the logarithm


def sampling_interval(
    forms: np.ndarray, counts: np.ndarray, *, around: float | None = None, level: float = 0.95
) -> Interval | None:
    """Return an interval for what a weighted mean over groups is in the population.

    The mean is a ratio Σ c_b q_b / Σ c_b; its variance is that of the linearised ratio, and the
    interval is Student's with b − 1 degrees of freedom, at half of the error that is due, because
    groups are few and their forms skewed. For the same reason it is taken together with the
    interval on the logarithm, where the mean is well away from zero.

    Applied to qᵦ = vᵀHᵦv it gives, to first order, the error of an eigenvalue through the choice of
    the samples, dλ = vᵀ dH v (the eigenvector may turn, at second order). It does not remove the
    bias of the largest eigenvalue: v was fitted to the same samples, so that λ₁ of a sample is on
    average above that of the population, and λ_min below.

    Args:
        forms: q (b,), the mean of a quantity over each group.
        counts: c (b,), how much each group weighs.
        around: The value on the whole data; None: the weighted mean.
        level: Probability that the interval covers.

    Returns:
        The interval, or None from fewer than two groups.

    Source: Cochran 1977, §6.4 (ratio estimates); Kato 1966, §II.2 (perturbation).
    """
    groups = len(forms)
    if groups < 2:
        return None
    share = counts / counts.sum()
    mean = float(share @ forms)
    error = math.sqrt(groups / (groups - 1) * float(np.square(share * (forms - mean)).sum()))
    half = float(stdtrit(groups - 1, 1 - (1 - level) / 4)) * error
    value = mean if around is None else around
    low, high = value - half, value + half
    if half < LOG_LIMIT * abs(value):
        far = value * math.exp(half / abs(value))
        low, high = min(low, far), max(high, far)
    return low, high


def with_sampling(estimate: Estimate, sampling: Interval | None) -> Estimate:
    """Return an estimate whose interval is the total of solver and sampling.

    The parts of an eigenvalue add up, as its residual is a certain bound; random parts of the same
    level add up by squares. What is exact on the data is an estimate for the population.
    """
    if sampling is None or not math.isfinite(estimate.value):
        return estimate
    solver = estimate.solver or (estimate.value, estimate.value)
    certain = estimate.level == 1.0
    ends = []
    for sign, a, b in ((-1, solver[0], sampling[0]), (1, solver[1], sampling[1])):
        parts = abs(a - estimate.value), abs(b - estimate.value)
        ends.append(estimate.value + sign * (sum(parts) if certain else math.hypot(*parts)))
    return replace(
        estimate,
        kind="estimate" if estimate.kind == "exact" else estimate.kind,
        interval=(ends[0], ends[1]),
        solver=solver,
        sampling=sampling,
        level=0.95 if certain else estimate.level,
    )


@dataclass(frozen=True)
class Sampled:
    """Estimates with what the choice of samples adds to their doubt."""

    top: tuple[Estimate, ...]
    bottom: tuple[Estimate, ...]
    trace: Estimate
    groups: int  # 0: a single sample, train mode, or groups that do not add up to the whole
    cut: bool = False  # the budget did not last for them


def sample(
    subject: Subject,
    curvature: Curvature,
    ends: Ends,
    vectors: tuple[Tensor, Tensor],
    trace: Estimate,
    *,
    generator: torch.Generator,
    pace: float = 0.0,
) -> Sampled:
    """Return eigenvalues and trace with sampling intervals.

    The trace's comes from a few random vectors, the same for every group: what they leave open of
    the groups' differences makes it rather too wide. In train mode there are no intervals: a group
    of the batch has other statistics than the batch.

    Args:
        subject: What is studied.
        curvature: The matrix.
        ends: Its eigenvalues.
        vectors: Their eigenvectors, top (k, n) and bottom (k', n).
        trace: The trace.
        generator: Draws the vectors for the trace.
        pace: Seconds that a product takes, about; nothing is begun that a budget does not last for.

    Cost: k + k' + 8 products, and a forward pass.
    """
    if subject.mode == "train":
        return Sampled(ends.top, ends.bottom, trace, 0)
    rows = torch.cat(vectors)
    needed, left = len(rows) + TRACE_PROBES, budget.left_seconds()
    if not budget.affords(needed) or (left is not None and left < needed * pace):
        return Sampled(ends.top, ends.bottom, trace, 0, cut=True)
    signs = rademacher(TRACE_PROBES, rows.shape[1], like=rows, generator=generator)
    found = group_forms(subject, curvature, torch.cat([rows, signs]))
    pairs = ends.top + ends.bottom
    each = with_groups(pairs, found)
    if each is None:
        return Sampled(ends.top, ends.bottom, trace, 0)
    mean = found.forms[:, len(pairs) :].mean(1)
    spread = sampling_interval(mean, found.counts, around=trace.value)
    return Sampled(
        top=ordered(each[: len(ends.top)]),
        bottom=ordered(each[len(ends.top) :], upwards=True),
        trace=with_sampling(trace, spread),
        groups=len(found.counts),
    )


def with_groups(pairs: tuple[Estimate, ...], found: GroupForms) -> tuple[Estimate, ...] | None:
    """Return eigenvalues with sampling intervals; None where the groups do not add up to them.

    Args:
        pairs: k eigenvalues.
        found: The forms of their eigenvectors come first.
    """
    values = np.array([one.value for one in pairs])
    misfit = np.abs(found.whole[: len(values)] - values)
    if len(found.counts) < 2 or (misfit > ADDS_UP * np.abs(values).max()).any():
        return None
    return tuple(
        replace(
            with_sampling(one, sampling_interval(column, found.counts, around=one.value)),
            method=f"{one.method}; {FITTED}",
        )
        for one, column in zip(pairs, found.forms.T[: len(pairs)], strict=True)
    )


def ordered(pairs: tuple[Estimate, ...], *, upwards: bool = False) -> tuple[Estimate, ...]:
    """Return eigenvalues of one end, each told to lie beyond what a later one surely reaches.

    The first eigenvector may rest on a few samples, so that its form says little, where that of the
    second tells well that there is curvature of that size. Surely is twice as far from its value as
    its interval ends: intervals of eigenvalues that lie close together miss at this end rather than
    at the other.

    Args:
        pairs: Descending, with their intervals.
        upwards: They are ascending, from the smallest.
    """
    found, reached = list[Estimate](), -math.inf
    for one in reversed(pairs):
        low, high = one.interval
        if upwards:
            found.append(replace(one, interval=(low, min(high, -reached))))
            reached = max(reached, one.value - 2 * high)
        else:
            found.append(replace(one, interval=(max(low, reached), high)))
            reached = max(reached, 2 * low - one.value)
    return tuple(reversed(found))
