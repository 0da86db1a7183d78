"""Gradient, weight and update norms of every layer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from landscape.answer import Finding, Result, Table
from landscape.base import Diagnostic, Question
from landscape.estimate import Estimate
from landscape.figures.norms import NormsInk, draw_norms
from landscape.signals.updates import last_update
from landscape.subject.subject import Subject

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True)
class LayerNorms:
    """Norms of one parameter tensor."""

    name: str
    parameters: int
    gradient_norm: Estimate
    weight_norm: Estimate
    update_norm: Estimate | None  # of the optimizer's last step; None when its state is not there


@dataclass(frozen=True, kw_only=True)
class GradientsResult(Result):
    """The gradient of the mean loss at one checkpoint, tensor by tensor."""

    name: ClassVar[str] = "gradients"

    checkpoint: str
    parameters: int
    loss: Estimate
    total_norm: Estimate
    weight_norm: Estimate
    update_norm: Estimate | None
    layers: tuple[LayerNorms, ...]
    non_finite: tuple[str, ...]  # tensors whose gradient holds NaN or infinity
    unused: tuple[str, ...]  # tensors whose gradient is exactly zero

    def summary(self) -> str:
        """Return the answer in one line."""
        return (
            f"{self.checkpoint}: loss {self.loss}, gradient norm {self.total_norm}, weight norm "
            f"{self.weight_norm}" + (f", last step {self.update_norm}" if self.update_norm else "")
        )

    def headline(self) -> tuple[tuple[str, Estimate], ...]:
        """Return loss and norms."""
        norms = (("loss", self.loss), ("gradient norm", self.total_norm))
        norms += (("weight norm", self.weight_norm),)
        return norms if self.update_norm is None else (*norms, ("last step", self.update_norm))

    def draw(self, axes: Axes, *, label: str | None = None, colour: str | None = None) -> None:
        """Draw the norms of every tensor on a log axis."""
        series = {
            "gradient": [one.gradient_norm.value for one in self.layers],
            "weight": [one.weight_norm.value for one in self.layers],
        }
        if all(one.update_norm is not None for one in self.layers):
            series["last step"] = [one.update_norm.value for one in self.layers if one.update_norm]
        ink = NormsInk(names=tuple(one.name for one in self.layers), series=series)
        draw_norms(axes, ink, label=label, colour=colour)

    def caption(self) -> str:
        """Return method and cost."""
        return (
            f"Euclidean norms per parameter tensor of {self.checkpoint}; gradient of the mean loss "
            f"over {self.cost.samples:,} samples. {self.cost.seconds:.1f} s."
        )

    def tables(self) -> tuple[Table, ...]:
        """Return one row per parameter tensor."""
        rows = tuple(
            (
                one.name,
                one.parameters,
                one.gradient_norm,
                one.weight_norm,
                one.update_norm,
                _ratio(one.update_norm, one.weight_norm),
            )
            for one in self.layers
        )
        columns = ("tensor", "parameters", "gradient", "weight", "last step", "step / weight")
        return (Table("Norms per tensor", columns, rows),)

    def findings(self) -> tuple[Finding, ...]:
        """Return non-finite, unused and vanishing gradients."""
        found = []
        if self.non_finite:
            found.append(
                Finding(
                    severity="critical",
                    sentence=f"{len(self.non_finite)} tensors have gradients that are not finite.",
                    evidence=_listed(self.non_finite),
                    advice="Look at the loss of single batches, and at the learning rate before.",
                )
            )
        if self.unused:
            found.append(
                Finding(
                    severity="warning",
                    sentence=f"{len(self.unused)} trainable tensors do not move the loss at all.",
                    evidence=_listed(self.unused),
                    advice="Freeze them or connect them; until then their curvature is exactly 0.",
                )
            )
        return tuple(found)

    def trust(self) -> tuple[tuple[str, str], ...]:
        """Return what the numbers rest on."""
        return (("gradient norms", f"exact on {self.cost.samples:,} samples; no sampling error"),)


@dataclass(frozen=True, kw_only=True)
class Gradients(Diagnostic[GradientsResult]):
    """Gradient, weight and update norms of every layer."""

    name: ClassVar[str] = "gradients"
    result: ClassVar[type[Result]] = GradientsResult
    question: ClassVar[Question] = "convergence"

    def measure(self, subject: Subject) -> GradientsResult:
        """Return the norms at the subject's checkpoint. Cost: two passes over the data."""
        point, parameters = subject.point, subject.parameters
        gradient = subject.gradient(point)
        gradients, weights = parameters.split(gradient), parameters.split(point.theta)
        updates = last_update(subject)
        layers = tuple(
            LayerNorms(
                name=name,
                parameters=weight.numel(),
                gradient_norm=_norm(gradients[name]),
                weight_norm=_norm(weight),
                update_norm=_step_norm(updates[name]) if name in updates else None,
            )
            for name, weight in weights.items()
        )
        whole = torch.cat([step.flatten() for step in updates.values()]) if updates else None
        return GradientsResult(
            checkpoint=subject.checkpoint.label,
            parameters=parameters.size,
            loss=Estimate.exact(subject.loss(point), "the given data"),
            total_norm=_norm(gradient),
            weight_norm=_norm(point.theta),
            update_norm=_step_norm(whole) if whole is not None else None,
            layers=layers,
            non_finite=tuple(n for n, g in gradients.items() if not bool(g.isfinite().all())),
            unused=tuple(n for n, g in gradients.items() if not bool(g.any())),
        )


def _norm(vector: Tensor) -> Estimate:
    value = float(torch.linalg.vector_norm(vector, dtype=torch.float64))
    return Estimate.exact(value, "float64 accumulation")


def _step_norm(step: Tensor) -> Estimate:
    method = "saved moments at the saved learning rate, weight decay left out"
    return replace(_norm(step), kind="estimate", method=method)


def _ratio(update: Estimate | None, weight: Estimate) -> float | None:
    return update.value / weight.value if update is not None and weight.value > 0 else None


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
