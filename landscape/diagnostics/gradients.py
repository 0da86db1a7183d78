"""Gradient norms, signals of every layer, noise scale and smoothness."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor

from landscape.answer import Result
from landscape.base import Diagnostic, Followed, Option, Question
from landscape.estimate import Estimate
from landscape.signals.growth import growth
from landscape.signals.result import GradientsResult, LayerNorms
from landscape.signals.study import Plan, Study
from landscape.signals.updates import last_update
from landscape.subject.normalisation import uses_running_statistics
from landscape.subject.rounding import gradient_error, length
from landscape.subject.subject import Subject
from landscape.work import Work

BEGINNING = 0.25  # seconds to trace what is vectorised over samples, about
SIGNALS, SINGLE = 6, 4  # passes and gradients over the samples that are looked at, about
JACOBIANS = 60  # passes of a few samples backward, about
EVALUATED = (
    "gradients are those of eval mode, with the running statistics of BatchNorm; training sees "
    "those of a batch (--mode train)"
)


@dataclass(frozen=True, kw_only=True)
class Gradients(Diagnostic[GradientsResult]):
    """Gradient norms, signals of every layer, noise scale and smoothness."""

    name: ClassVar[str] = "gradients"
    result: ClassVar[type[Result]] = GradientsResult
    question: ClassVar[Question] = "convergence"
    follows: ClassVar[bool] = True
    presets: ClassVar = {
        "quick": {"samples": 64, "jacobian": 2, "steps": False, "width": 128},
        "standard": {},
        "full": {"samples": 2048, "jacobian": 16, "products": 16, "width": 1024},
    }

    samples: Annotated[
        int, Option("samples whose signals and single gradients are looked at", at_least=0)
    ] = 256
    clip: Annotated[
        float, Option("length to which every sample's gradient might be clipped", above=0)
    ] = 1.0
    jacobian: Annotated[
        int, Option("samples whose Jacobian of layers in the input is studied", at_least=0)
    ] = 4
    products: Annotated[
        int, Option("Hessian products for the noise scale with curvature", at_least=0, at_most=16)
    ] = 0
    steps: Annotated[bool, Option("smoothness along the gradient, by steps on all data")] = True
    width: Annotated[
        int, Option("widest layer whose inputs' conditioning is computed", at_least=0)
    ] = 512

    def work(self, subject: Subject) -> Work:
        """Return gradients of all data and of single samples, and Jacobians by many small steps."""
        whole = subject.batches.samples if subject.batches else 1
        part = min(self.samples, whole) / whole
        each = Work(
            forwards=2 + 4 * self.steps + SIGNALS * part,
            gradients=2 + 4 * self.steps + SINGLE * part,
            steps=JACOBIANS if self.jacobian else 0,
            seconds=BEGINNING,
            products=self.products,
        )
        return each.times(len(subject.checkpoints))

    def measure(self, subject: Subject) -> GradientsResult:
        """Return norms and signals at the subject's checkpoint."""
        point, parameters = subject.point, subject.parameters
        if uses_running_statistics(subject):
            subject.note(EVALUATED)
        gradient = subject.gradient(point)
        error = gradient_error(subject, point)
        gradients, weights = parameters.split(gradient), parameters.split(point.theta)
        errors = parameters.split(error) if error is not None else {}
        updates = last_update(subject)
        layers = tuple(
            LayerNorms(
                name=name,
                parameters=weight.numel(),
                gradient_norm=length(gradients[name], errors.get(name)),
                weight_norm=length(weight),
                update_norm=_step_norm(updates[name]) if name in updates else None,
            )
            for name, weight in weights.items()
        )
        whole = torch.cat([step.flatten() for step in updates.values()]) if updates else None
        parts = Study(subject, self._plan(subject), gradient).measured()
        return GradientsResult(
            checkpoint=subject.checkpoint.label,
            step=subject.checkpoint.step,
            parameters=parameters.size,
            loss=Estimate.exact(subject.loss(point), "the given data"),
            total_norm=length(gradient, error),
            weight_norm=length(point.theta),
            update_norm=_step_norm(whole) if whole is not None else None,
            layers=layers,
            non_finite=tuple(n for n, g in gradients.items() if not bool(g.isfinite().all())),
            unused=tuple(n for n, g in gradients.items() if not bool(g.any())),
            growth=None,
            **vars(parts),
        )

    def follow(self, subject: Subject, before: np.ndarray | None) -> Followed[GradientsResult]:
        """Return the answer at one checkpoint, with the (L₀, L₁) fit to those so far."""
        answer = self.measure(subject)
        history = np.zeros((0, 2)) if before is None else before
        if answer.smoothness is not None:
            place = [answer.total_norm.value, answer.smoothness.effective.value]
            history = np.vstack([history, place])
        return Followed(replace(answer, growth=growth(history)), history if len(history) else None)

    def _plan(self, subject: Subject) -> Plan:
        return Plan(
            samples=self.samples,
            clip=self.clip,
            jacobian=self.jacobian,
            products=self.products,
            steps=self.steps,
            width=self.width,
            learning_rate=subject.learning_rate or subject.checkpoint.learning_rate,
            seed=self.seed,
        )


def _step_norm(step: Tensor) -> Estimate:
    method = "saved moments at the saved learning rate, weight decay left out"
    return replace(length(step), kind="estimate", method=method)
