"""Gradient norms, signals of every layer, noise scale and smoothness."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor

from landscape.answer import Result
from landscape.base import Diagnostic, Followed, Option, Question
from landscape.estimate import Estimate
from landscape.operators.engine import imports
from landscape.signals.growth import growth
from landscape.signals.jacobian import DENSE, LAYERS, PROBES, ROWS
from landscape.signals.jacobian import SEARCHED as LOOKED
from landscape.signals.result import GradientsResult, LayerNorms
from landscape.signals.rows import Weighted
from landscape.signals.samples import GROUPS
from landscape.signals.study import Plan, Study
from landscape.signals.updates import last_update
from landscape.subject.activations import sizes
from landscape.subject.normalisation import uses_running_statistics
from landscape.subject.rounding import gradient_error, length, rounded_length
from landscape.subject.subject import Subject
from landscape.work import BACKWARD, Work

SIGNALS, SINGLE = 2, 8  # passes and gradients over the samples that are looked at, about
COMPARED = 3  # mean gradients of every group of samples: plain, and clipped to two lengths
SEARCHED = 30  # products for a largest singular value, about
DECOMPOSED = 30  # multiplications for each entry cubed, of a decomposition, about
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
        """Return gradients of all data, of groups and single samples, and rows of Jacobians."""
        if subject.batches is None:
            return Work()
        whole = subject.batches.samples
        taken = min(self.samples, whole)
        batches = math.ceil(taken * len(subject.batches) / whole)
        layers = [(one, n, m) for one, n, m in sizes(subject) if isinstance(one, Weighted)]
        rows, calls = self._jacobians([(n, m) for _, n, m in layers])
        widths = [n for one, *_ in layers for n in one.weight.shape[:2] if n <= self.width]
        each = Work(
            forwards=1 + 4 * self.steps + SIGNALS * taken / whole,
            gradients=1 + 4 * self.steps + (SINGLE * taken + rows) / whole,
            calls=BACKWARD * (COMPARED * GROUPS * batches + calls),
            products=self.products,
            operations=sum(DECOMPOSED * one**3 for one in widths),
        )
        return replace(each.times(len(subject.checkpoints)), seconds=imports())

    def _jacobians(self, layers: list[tuple[int, int]]) -> tuple[float, float]:
        """Return how many samples go backward for the Jacobians of layers, and in how many calls.

        Layers are told by the numbers that enter and leave them. One of few rows goes row by row,
        of another a few random sums of rows.
        """
        if not self.jacobian or not layers:
            return 0, 0
        entering, leaving = layers[0][0], [one[1] for one in layers]
        whole = [size <= ROWS and size * entering <= DENSE for size in leaving]
        rows = sum(size if one else PROBES for size, one in zip(leaving, whole, strict=True))
        share = min(1.0, LAYERS / len(layers))
        searched = 0 if whole[-1] else SEARCHED * LOOKED
        return share * rows * self.jacobian + searched, share * len(layers) + searched

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
                gradient_norm=rounded_length(gradients[name], errors.get(name)),
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
            total_norm=rounded_length(gradient, error),
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
