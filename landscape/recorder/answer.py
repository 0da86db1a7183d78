"""What a log says: series, layers, slopes over depth, noise scale, verdicts; frozen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from landscape.answer import Finding, Result, Table
from landscape.estimate import Estimate
from landscape.figures.history import draw_history
from landscape.figures.picture import Picture
from landscape.recorder import pictures
from landscape.recorder.answers import AnswerTrack, answers_table
from landscape.recorder.depth import DepthSlope
from landscape.recorder.log import Torn
from landscape.recorder.runs import Run
from landscape.recorder.verdict import RECENT, Verdict, counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True)
class LayerTrack:
    """One parameter tensor over the run.

    Args:
        name: Of the tensor.
        parameters: Numbers in it.
        state: trains, unused, zero gradient, not held, unmoved, not seen.
        gradient_norm: Median over the last recorded steps that had a gradient, before clipping.
        weight_norm: At the last recorded step.
        first_weight_norm: At the first.
        update_ratio: Median of ‖Δw‖ / ‖w‖ over the last details; None without any.
    """

    name: str
    parameters: int
    state: str
    gradient_norm: float
    weight_norm: float
    first_weight_norm: float
    update_ratio: float | None


@dataclass(frozen=True, kw_only=True)
class SignalTrack:
    """The signals of one module at the first and the last step with details.

    Args:
        name: Of the module.
        forward: Mean square of its output.
        first_forward: The same at the first.
        backward: Mean square of the gradient of the loss with respect to its output.
        first_backward: The same at the first.
        dead_inputs: Share of the units that feed it which are zero on every sample; None where
            they are not seen.
        saturated: Share of outputs within 1 % of the range from its ends; None if unbounded.
    """

    name: str
    forward: float
    first_forward: float
    backward: float
    first_backward: float
    dead_inputs: float | None
    saturated: float | None


@dataclass(frozen=True, kw_only=True)
class Series:
    """What is recorded of the whole network, over t steps.

    Of more than 4,000 steps, the least and the greatest gradient norm of neighbouring ones stand
    for all.
    """

    step: np.ndarray  # (t,)
    loss: np.ndarray  # (t,)
    gradient_norm_before: np.ndarray  # (t,), at the end of the backward pass
    gradient_norm: np.ndarray  # (t,), as the optimizer saw it
    learning_rate: np.ndarray  # (t,), of the first group
    cosine_step: np.ndarray  # (d,)
    cosine: np.ndarray  # (d,), of successive gradients
    spikes: np.ndarray  # steps whose gradient norm stands out
    skipped: np.ndarray  # steps that were skipped


@dataclass(frozen=True, kw_only=True)
class TrackResult(Result):
    """A training run as its log tells it."""

    name: ClassVar[str] = "track"
    picture_names: ClassVar[tuple[str, ...]] = ("layers", "signals")

    log: str  # the name of the file
    steps: int  # that were recorded
    first_step: int | None
    last_step: int | None
    seconds: float  # of all runs
    ended: bool  # whether the run said that it was over
    torn: tuple[Torn, ...]
    optimizer: str
    series_of: Series
    layers: tuple[LayerTrack, ...]
    layer_steps: np.ndarray  # (c,)
    layer_norms: np.ndarray  # (N, c), gradient norms; medians of neighbouring steps
    signals: tuple[SignalTrack, ...]
    slopes: tuple[DepthSlope, ...]
    skipped_steps: int
    clip_rate: Estimate | None
    noise_scale: Estimate | None  # tr Σ / |G|²
    noise_unit: str
    noise_reason: str  # why there is no noise scale; empty when there is one
    samples_per_step: float | None
    answers: tuple[AnswerTrack, ...]  # of scheduled diagnostics
    runs: tuple[Run, ...]  # whose steps these are, in order
    verdicts: tuple[Verdict, ...]
    overhead: float | None  # share of the time, as the run measured it
    unseen: str  # why some signals are not there

    def summary(self) -> str:
        """Return the answer in a line or two."""
        if not self.steps:
            return f"{self.log}: no step yet"
        state = "" if self.ended else ", not ended"
        cost = f"; recording added {self.overhead:.1%}" if self.overhead is not None else ""
        anew = [str(one.first_step) for one in self.runs if one.how == "begins anew"]
        runs = f"; training begins anew at step {', '.join(anew)}" if anew else ""
        return (
            f"{self.log}: {counted(self.steps, 'step')} "
            f"({self.first_step} to {self.last_step}{runs}{state}), "
            f"loss {_shown(self.series_of.loss)}, gradient norm "
            f"{_shown(self.series_of.gradient_norm_before)}, learning rate "
            f"{_shown(self.series_of.learning_rate)}{cost}"
        )

    def headline(self) -> tuple[tuple[str, Estimate], ...]:
        """Return noise scale and clip rate, where they are known."""
        known = (("noise scale", self.noise_scale), ("clip rate", self.clip_rate))
        return tuple((name, one) for name, one in known if one is not None)

    @property
    def label(self) -> str:
        """Return the name of the log."""
        return self.log

    def draw(self, axes: Axes, *, label: str | None = None, colour: str | None = None) -> None:
        """Draw loss, gradient norm and learning rate over steps."""
        draw_history(axes, pictures.history_ink(self), label=label, colour=colour)

    def pictures(self) -> tuple[Picture, ...]:
        """Return norms of every layer over the run, and signals over depth."""
        return pictures.pictures_of(self)

    def caption(self) -> str:
        """Return what was recorded, and what that cost."""
        cost = f" Recording added {self.overhead:.1%}." if self.overhead is not None else ""
        return (
            f"{counted(self.steps, 'recorded step')} of {self.optimizer}, {self.seconds:.0f} s. "
            "Norm of the "
            "gradient at the end of the backward pass, and after clipping where that differs."
            f"{cost}"
        )

    def tables(self) -> tuple[Table, ...]:
        """Return one row per tensor, and one per module whose signals were seen."""
        layers = Table(
            f"Layers (medians of the last {RECENT} recorded steps)",
            ("tensor", "parameters", "state", "gradient", "weight", "at first", "step / weight"),
            tuple(
                (
                    one.name,
                    one.parameters,
                    one.state,
                    one.gradient_norm,
                    one.weight_norm,
                    one.first_weight_norm,
                    one.update_ratio,
                )
                for one in self.layers
            ),
        )
        signals = Table(
            "Signals (mean squares at the last step with details)",
            ("module", "forward", "at first", "backward", "at first", "dead inputs", "saturated"),
            tuple(tuple(vars(one).values()) for one in self.signals),
        )
        runs = Table(
            "Runs in this log",
            ("first step", ""),
            tuple((one.first_step, one.how) for one in self.runs if len(self.runs) > 1),
        )
        tables = (runs, answers_table(self.answers), layers, signals)
        return tuple(table for table in tables if table.rows)

    def findings(self) -> tuple[Finding, ...]:
        """Return the verdicts, gravest first."""
        found = [
            Finding(
                severity=one.severity,
                sentence=one.sentence,
                evidence=one.evidence,
                advice=one.advice,
            )
            for one in self.verdicts
        ]
        return (*found, *(_torn(one) for one in self.torn))

    def trust(self) -> tuple[tuple[str, str], ...]:
        """Return what the numbers rest on."""
        rows = [("norms", "squares summed in float32 or better, of unscaled gradients")]
        if self.noise_scale is not None:
            rows.append(("noise scale", f"{self.noise_scale:.4g} {self.noise_unit}"))
        elif self.noise_reason:
            rows.append(("noise scale", self.noise_reason))
        if self.unseen:
            rows.append(("signals", self.unseen))
        rows += [("torn line", one.sentence) for one in self.torn]
        return tuple(rows)


def _shown(values: np.ndarray) -> str:
    return f"{values[-1]:.4g}" if len(values) and np.isfinite(values[-1]) else "–"


def _torn(torn: Torn) -> Finding:
    return Finding(
        severity="notable",
        sentence=torn.sentence[0].upper() + torn.sentence[1:] + ".",
        evidence=f"{torn.bytes} bytes of it are there.",
        advice="A run that was killed leaves this; what comes before is whole.",
    )
