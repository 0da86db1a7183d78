"""How close an optimizer is to the edge of stability."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from landscape.estimate import Estimate, Interval
from landscape.subject.optimizer_state import OptimizerState

Verdict = Literal["below", "at the edge", "above", "not judged"]

EDGE = (0.9, 1.1)  # of the threshold: there training hovers about it
EVAL_MODE = (
    "of the eval-mode loss, which does not judge the training: BatchNorm trains on batch statistics"
)
EVAL_MODE_BRIEFLY = "of the eval-mode loss; --mode train judges the training"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """The sharpness from which on an optimizer diverges on a quadratic: `factor` / η."""

    name: str
    factor: float
    source: str


@dataclass(frozen=True, kw_only=True)
class StabilityMargin:
    """The sharpness in units of the largest that the optimizer can stand.

    Args:
        rule: Whose threshold it is.
        learning_rate: η.
        preconditioned: Whether the sharpness is that of P⁻¹H.
        sharpness: λ₁.
        threshold: The sharpness from which on steps grow.
        margin: λ₁ / threshold.
        verdict: `at the edge` from 0.9 to 1.1; `not judged` where `eval_mode`.
        settled: Whether the whole interval of the margin leads to the same verdict.
        source: Where the rule comes from.
        eval_mode: Whether BatchNorm's running statistics make λ₁ that of another loss than the one
            that training descends.
        batch: In train mode, the samples of the one batch: the loss is that of training on it.
    """

    rule: str
    learning_rate: float
    preconditioned: bool
    sharpness: Estimate
    threshold: float
    margin: Estimate
    verdict: Verdict
    settled: bool
    source: str
    eval_mode: bool = False
    batch: int | None = None

    @property
    def symbol(self) -> str:
        """Return what the sharpness is of."""
        return "λ₁(P⁻¹H)" if self.preconditioned else "λ₁"

    @property
    def sentence(self) -> str:
        """Return the margin in words."""
        words = {"at the edge": "at the edge of stability", "not judged": EVAL_MODE}
        place = words.get(self.verdict, self.verdict)
        on = f", for training on this batch of {self.batch:,} alone" if self.batch else ""
        return (
            f"{self.symbol} is {self.margin:.3g} times the threshold {self.threshold:.4g} of "
            f"{self.rule} at learning rate {self.learning_rate:g}: {place}{on}"
        )


def rule_of(optimizer: OptimizerState) -> Rule:
    """Return the rule for an optimizer's momentum: the step factor beyond which it diverges.

    On ½ s x² the step x ← x − η u meets the eigenvalue −1 at

        heavy ball    u ← β u + (1 − d) s x           η s = (2 + 2β) / (1 − d)
        Nesterov      the same, taking s x + β u      η s = (2 + 2β) / (1 + 2β)

    so that without momentum η s = 2, and with Adam's average (d = β) η s = (2 + 2β) / (1 − β), 38
    for β = 0.9, on the spectrum of P⁻¹H.

    Source: Cohen et al. 2021, arXiv 2103.00065, §2 and appendix B; Cohen et al. 2022, arXiv
    2207.14484, §2.
    """
    beta = optimizer.momentum
    source = "Cohen et al. 2021, arXiv 2103.00065"
    if optimizer.adaptive:
        source = "Cohen et al. 2022, arXiv 2207.14484"
    if optimizer.nesterov:
        return Rule(name="Nesterov", factor=(2 + 2 * beta) / (1 + 2 * beta), source=source)
    plain = "heavy ball" if beta else "gradient descent"
    name = optimizer.name if optimizer.adaptive else plain
    return Rule(name=name, factor=(2 + 2 * beta) / (1 - optimizer.dampening), source=source)


def stability_margin(
    sharpness: Estimate,
    rule: Rule,
    learning_rate: float,
    *,
    preconditioned: bool = False,
    eval_mode: bool = False,
    batch: int | None = None,
) -> StabilityMargin:
    """Return λ₁ η / factor with the interval of λ₁ carried through.

    Args:
        sharpness: λ₁ of the Hessian of the loss that the optimizer steps on, or of P⁻¹H.
        rule: That of the optimizer.
        learning_rate: η > 0.
        preconditioned: Whether the sharpness is that of P⁻¹H.
        eval_mode: Whether it is of the loss with BatchNorm's running statistics: no verdict then.
        batch: In train mode, the samples of the one batch whose statistics normalise.
    """
    threshold = rule.factor / learning_rate
    margin = scaled(sharpness, 1 / threshold)
    verdict = "not judged" if eval_mode else _verdict(margin.value)
    return StabilityMargin(
        rule=rule.name,
        learning_rate=learning_rate,
        preconditioned=preconditioned,
        sharpness=sharpness,
        threshold=threshold,
        margin=margin,
        verdict=verdict,
        settled=margin.status.settled and all(_verdict(end) == verdict for end in margin.interval),
        source=rule.source,
        eval_mode=eval_mode,
        batch=batch,
    )


def _verdict(margin: float) -> Verdict:
    low, high = EDGE
    return "below" if margin < low else "at the edge" if margin <= high else "above"


def scaled(estimate: Estimate, factor: float) -> Estimate:
    """Return an estimate in other units; factor > 0."""

    def part(interval: Interval | None) -> Interval | None:
        return None if interval is None else (interval[0] * factor, interval[1] * factor)

    return replace(
        estimate,
        value=estimate.value * factor,
        interval=part(estimate.interval) or estimate.interval,
        solver=part(estimate.solver),
        sampling=part(estimate.sampling),
        residual=None if estimate.residual is None else estimate.residual * factor,
    )
