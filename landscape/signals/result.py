"""The answer of `gradients`: norms and signals of every layer, noise, smoothness, Jacobians."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from landscape.answer import Finding, Result, Table
from landscape.estimate import Estimate
from landscape.figures.picture import Picture
from landscape.signals import findings, pictures, tables
from landscape.signals.activity import LayerSignal, MeanField
from landscape.signals.clipping import PerSample
from landscape.signals.conditioning import Conditioning
from landscape.signals.growth import Growth
from landscape.signals.jacobian import Jacobian
from landscape.signals.noise import NoiseScale
from landscape.signals.smoothness import Smoothness
from landscape.signals.study import LeftOut

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
    """The gradient of the mean loss at one checkpoint, and how signals pass the layers."""

    name: ClassVar[str] = "gradients"
    version: ClassVar[int] = 2
    better: ClassVar = {"loss": "lower"}
    picture_names: ClassVar[tuple[str, ...]] = ("signals", "samples", "jacobian", "series")

    checkpoint: str
    step: int | None
    parameters: int
    loss: Estimate
    total_norm: Estimate
    weight_norm: Estimate
    update_norm: Estimate | None
    layers: tuple[LayerNorms, ...]
    non_finite: tuple[str, ...]  # tensors whose gradient holds NaN or infinity
    unused: tuple[str, ...]  # tensors whose gradient is exactly zero
    trend: Estimate | None  # of ln ‖g_l‖ over the matrices, by depth
    matrices: int  # that the trend is over
    signals: tuple[LayerSignal, ...]
    mean_field: MeanField | None
    conditioning: tuple[Conditioning, ...]
    jacobian: Jacobian | None
    per_sample: PerSample | None
    noise_scale: Estimate  # B_simple
    noise: NoiseScale | None
    smoothness: Smoothness | None
    growth: Growth | None  # over the checkpoints of a series so far
    left_out: tuple[LeftOut, ...]

    def summary(self) -> str:
        """Return the answer in one line."""
        step = f", last step {self.update_norm}" if self.update_norm else ""
        told = self.noise is not None and self.noise_scale.value > 0
        noise = f", noise scale {self.noise_scale:.3g}" if told else ""
        return (
            f"{self.checkpoint}: loss {self.loss}, gradient norm {self.total_norm}, weight norm "
            f"{self.weight_norm}{step}{noise}"
        )

    def headline(self) -> tuple[tuple[str, Estimate], ...]:
        """Return loss, norms and noise scale."""
        found = [("loss", self.loss), ("gradient norm", self.total_norm)]
        found.append(("weight norm", self.weight_norm))
        if self.update_norm is not None:
            found.append(("last step", self.update_norm))
        if self.noise is not None and self.noise_scale.value > 0:  # "at least 0" says nothing
            found.append(("noise scale", self.noise_scale))
        return tuple(found)

    def draw(self, axes: Axes, *, label: str | None = None, colour: str | None = None) -> None:
        """Draw the norms of every tensor on a log axis."""
        pictures.draw_main(axes, self, label=label, colour=colour)

    def pictures(self) -> tuple[Picture, ...]:
        """Return the figures beside the norms: signals, samples, Jacobian, series."""
        return pictures.pictures_of(self)

    def caption(self) -> str:
        """Return method and cost."""
        drawn = " and ".join(one.label for one in self.shown()[0])
        return (
            f"Euclidean norms per parameter tensor of {drawn}; gradient of the mean loss "
            f"over {self.cost.samples:,} samples. {self.cost.seconds:.1f} s."
        )

    def tables(self) -> tuple[Table, ...]:
        """Return the tables of norms, signals, samples, steps and Jacobians."""
        return tables.tables_of(self)

    def findings(self) -> tuple[Finding, ...]:
        """Return what a reader should not miss."""
        return findings.findings_of(self)

    def trust(self) -> tuple[tuple[str, str], ...]:
        """Return what the numbers rest on, and what was left out and why."""
        return tables.trust_of(self)
