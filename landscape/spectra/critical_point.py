"""What kind of point training has reached: still falling, minimum, saddle or plateau."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from landscape.estimate import Estimate
from landscape.linalg.eigenpairs import Eigenpairs
from landscape.spectra.curvature import Curvature
from landscape.spectra.ends import eigenvalues
from landscape.spectra.escape import Escape, escape_along
from landscape.spectra.stability import scaled
from landscape.subject.normalisation import uses_running_statistics
from landscape.subject.subject import Subject

Kind = Literal["not stationary", "minimum-like", "saddle", "plateau", "maximum-like", "undecided"]

STATIONARY = 1e-3  # of the loss: a predicted decrease below that is called none
NEGLIGIBLE = 1e-2  # of the largest |λ|: curvature below that is called none

_LITTLE = f"a gradient step gains at most {STATIONARY:.1%} of the loss"
_RISES = f"λ_max is above {NEGLIGIBLE:.0%} of max|λ|, and told from 0"
CRITERIA: dict[Kind, tuple[str, ...]] = {
    "not stationary": (f"a gradient step gains more than {STATIONARY:.1%} of the loss",),
    "minimum-like": (
        _LITTLE,
        _RISES,
        f"λ_min is above −{NEGLIGIBLE:.0%} of max|λ|, or not told from 0",
        f"no step tried along its vector gains {STATIONARY:.1%} of the loss",
    ),
    "saddle": (
        _LITTLE,
        _RISES,
        f"λ_min is below −{NEGLIGIBLE:.0%} of max|λ|, or a step along it gains",
    ),
    "maximum-like": (_LITTLE, f"λ_min is below 0, and λ_max not above {NEGLIGIBLE:.0%} of max|λ|"),
    "plateau": (
        f"a step of length ‖θ‖ changes the loss by at most {STATIONARY:.1%},",
        "or no λ is told from 0",
    ),
    "undecided": (_LITTLE, "no smallest eigenvalue was sought"),
}


@dataclass(frozen=True, kw_only=True)
class CriticalPoint:
    """What kind of point it is, to second order and on the given data.

    Args:
        verdict: `not stationary` while a gradient step is predicted to lower the loss by more than
            a thousandth of it; else by the signs of the curvature, where |λ| below a hundredth of
            the largest counts as none, unless a step along the eigenvector of a negative λ_min
            gains more than a thousandth of the loss; `plateau` where a step as long as the weights
            changes the loss by less than a thousandth; `undecided` where no smallest eigenvalue was
            sought.
        predicted_decrease: ‖g‖² / (2 max|λ|): what one gradient step of length 1/max|λ| gains at
            least, to second order.
        share_of_loss: The same over the loss; None where the loss is zero.
        smallest: λ_min, with the doubt of the samples; None where it was not sought.
        escape: A step along its eigenvector, where it is negative.
        eval_mode: Whether BatchNorm's running statistics make the loss another than the one that
            training descends.
    """

    verdict: Kind
    predicted_decrease: Estimate
    share_of_loss: Estimate | None
    smallest: Estimate | None
    escape: Escape | None
    eval_mode: bool = False

    @property
    def criteria(self) -> tuple[str, ...]:
        """Return what makes it a point of that kind, in words."""
        return CRITERIA.get(self.verdict, ())

    @property
    def sentence(self) -> str:
        """Return the verdict in words."""
        gain = f"a gradient step would gain {self.predicted_decrease.value:.3g}"
        if self.share_of_loss is not None:
            gain += f" ({self.share_of_loss.value:.2%} of the loss)"
        text = f"{self.verdict}: {gain}"
        if self.smallest is not None:
            text += f"; λ_min {self.smallest}"
        return text if self.escape is None else f"{text}; {self.escape.sentence}"


def kind_of_point(
    subject: Subject,
    curvature: Curvature,
    pairs: Eigenpairs,
    bottom: Sequence[Estimate],
    *,
    loss: float,
    gradient: Tensor,
    gradient_norm: Estimate,
) -> CriticalPoint | None:
    """Return the kind of point, with a step along the lowest eigenvector where it is negative.

    Args:
        subject: What is studied.
        curvature: The matrix; None is returned but for the Hessian in the weights' coordinates.
        pairs: Its eigenpairs.
        bottom: Its smallest eigenvalues, as they are told elsewhere: with the doubt of the samples.
        loss: L(θ), with the decay that belongs to the matrix.
        gradient: Its gradient (n,).
        gradient_norm: Its length, with its doubt.

    Cost: forward passes for the step, at most twenty.
    """
    if curvature.kind != "hessian" or curvature.preconditioner is not None:
        return None
    theta, escape = subject.point.theta, None
    smallest = bottom[0] if bottom else None
    if smallest is not None and _solver(smallest)[1] < 0:
        vector = pairs.bottom.vectors[0]
        escape = escape_along(
            lambda moved: curvature.loss(subject, moved),
            theta,
            vector,
            loss=loss,
            slope=float(gradient.double() @ vector.double()),
            curvature=smallest,
        )
    return critical_point(
        loss=loss,
        gradient_norm=gradient_norm,
        weights=theta,
        largest=eigenvalues(pairs.top, pairs)[0],
        smallest=smallest,
        escape=escape,
        eval_mode=uses_running_statistics(subject),
    )


def critical_point(
    *,
    loss: float,
    gradient_norm: Estimate,
    weights: Tensor,
    largest: Estimate,
    smallest: Estimate | None,
    escape: Escape | None = None,
    eval_mode: bool = False,
) -> CriticalPoint:
    """Return what kind of point it is.

    A gradient that is small against the curvature and the loss is called zero: its size alone says
    nothing, as it changes with the scale of loss and weights. Rounding of the weights by ε moves
    the loss by about ½ max|λ| (ε‖θ‖)², and nothing below that is a decrease.

    Args:
        loss: L(θ).
        gradient_norm: ‖∇L(θ)‖.
        weights: θ (n,).
        largest: λ_max of the Hessian.
        smallest: λ_min, where it was sought.
        escape: A step along the eigenvector of λ_min.
        eval_mode: Whether it is the loss with BatchNorm's running statistics.

    Source: Dauphin et al. 2014, arXiv 1406.2572; Nesterov 2004, §1.2.3 (the decrease).
    """
    sought = (largest,) if smallest is None else (largest, smallest)
    curvature = max(abs(one.value) for one in sought)
    length = max(float(torch.linalg.vector_norm(weights, dtype=torch.float64)), 1.0)
    decrease = _predicted_decrease(gradient_norm, sought)
    floor = 2 * curvature * (torch.finfo(weights.dtype).eps * length) ** 2
    verdict: Kind
    if gradient_norm.value * length + curvature * length**2 / 2 <= STATIONARY * abs(loss):
        verdict = "plateau"
    elif decrease.value > max(STATIONARY * abs(loss), floor):
        verdict = "not stationary"
    else:
        gains = escape is not None and escape.decrease.value > max(STATIONARY * abs(loss), floor)
        verdict = _by_curvature(largest, smallest, NEGLIGIBLE * curvature, gains=gains)
    return CriticalPoint(
        verdict=verdict,
        predicted_decrease=decrease,
        share_of_loss=scaled(decrease, 1 / abs(loss)) if loss else None,
        smallest=smallest,
        escape=escape,
        eval_mode=eval_mode,
    )


def _by_curvature(
    largest: Estimate, smallest: Estimate | None, least: float, *, gains: bool
) -> Kind:
    if smallest is None:
        return "undecided"
    falls = (gains or smallest.value < -least) and _solver(smallest)[1] < 0
    rises = largest.value > least and _solver(largest)[0] > 0
    if falls:
        return "saddle" if rises else "maximum-like"
    return "minimum-like" if rises else "plateau"


def _solver(estimate: Estimate) -> tuple[float, float]:
    """Return the interval on the given data: that of the solver alone."""
    return estimate.solver or estimate.interval


def _predicted_decrease(slope: Estimate, sought: Sequence[Estimate]) -> Estimate:
    """Return ‖g‖² / (2 max|λ|), where ‖g‖ and every λ lie in the interval of their solver."""
    least, most = (max(ends) for ends in zip(*map(_magnitudes, sought), strict=True))
    curvature = max(abs(one.value) for one in sought)
    short, long = _solver(slope)
    low, value, high = (
        _gain(one, bend) for one, bend in ((short, most), (slope.value, curvature), (long, least))
    )
    return Estimate.within(value, (low, high), "‖g‖² / (2 max|λ|), to second order")


def _gain(slope: float, bend: float) -> float:
    if bend > 0:
        return slope**2 / (2 * bend)
    return math.inf if slope else 0.0


def _magnitudes(estimate: Estimate) -> tuple[float, float]:
    """Return the least and the largest |λ| within an interval."""
    low, high = _solver(estimate)
    return max(low, -high, 0.0), max(-low, high)
