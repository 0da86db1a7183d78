"""Everything that is measured of gradients and signals at one checkpoint, part by part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor

from landscape import budget
from landscape.estimate import Estimate, Status
from landscape.operators.hessian import HessianOperator
from landscape.signals.activity import Activity, LayerSignal, MeanField, activity
from landscape.signals.clipping import Clipped, PerSample, clip, lengths_of
from landscape.signals.conditioning import Conditioning, conditioning
from landscape.signals.depth import matrices_of, trend_of
from landscape.signals.jacobian import Jacobian, jacobian
from landscape.signals.noise import NoiseScale, noise_scale, with_curvature
from landscape.signals.rows import Weighted
from landscape.signals.sample_gradients import SampleGradients, sample_gradients
from landscape.signals.samples import LEAST_GROUPS, Samples, UnavailableError, some_samples
from landscape.signals.smoothness import Smoothness, smoothness
from landscape.subject.subject import Subject

T = TypeVar("T")

LEAST_SAMPLES = 3  # between which there is a noise scale
NOT_ASKED = "not asked for"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is measured.

    Args:
        samples: Whose signals and single gradients are looked at; 0: none.
        clip: Length to which single gradients might be clipped.
        jacobian: Samples whose Jacobian is studied; 0: none.
        products: Hessian products for B_noise; 0: none.
        steps: Whether steps along −g are taken.
        width: Of the widest layer whose conditioning is computed; 0: none.
        learning_rate: Of training; None: not known.
        seed: Of the random signs.
    """

    samples: int
    clip: float
    jacobian: int
    products: int
    steps: bool
    width: int
    learning_rate: float | None
    seed: int


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A part of the answer that is not there, and why."""

    part: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The parts of an answer beside the norms, named as in `GradientsResult`."""

    trend: Estimate | None
    matrices: int
    signals: tuple[LayerSignal, ...]
    mean_field: MeanField | None
    conditioning: tuple[Conditioning, ...]
    jacobian: Jacobian | None
    per_sample: PerSample | None
    noise_scale: Estimate
    noise: NoiseScale | None
    smoothness: Smoothness | None
    left_out: tuple[LeftOut, ...]


class Study:
    """Measures part after part; what cannot be had is left out with its reason.

    Args:
        subject: With one checkpoint; the caller guards it.
        plan: How much.
        gradient: g (n,), of the mean loss over all data.
    """

    def __init__(self, subject: Subject, plan: Plan, gradient: Tensor) -> None:
        self._subject, self._plan, self._gradient = subject, plan, gradient
        self._left_out: dict[str, str] = {}

    def measured(self) -> Measured:
        """Return every part."""
        plan = self._plan
        signals = self._part("signals", self._signals, asked=plan.samples > 0)
        layers = signals.layers if signals is not None else ()
        names = matrices_of(self._subject, [one.name for one in layers])
        single = self._part("single gradients", self._single, asked=plan.samples > 0)
        noise = self._noise(single)
        return Measured(
            trend=trend_of(self._gradients, names),
            matrices=len(names),
            signals=layers,
            mean_field=signals.mean_field if signals is not None else None,
            conditioning=self._conditioning(signals),
            jacobian=self._part("Jacobian", self._jacobian, asked=plan.jacobian > 0),
            per_sample=self._lengths(single),
            noise_scale=noise.simple if noise is not None else self._no_noise(),
            noise=noise,
            smoothness=self._part("smoothness", self._smoothness, asked=plan.steps),
            left_out=tuple(LeftOut(part=p, reason=r) for p, r in self._left_out.items()),
        )

    def _part(self, name: str, measure: Callable[[], T], *, asked: bool) -> T | None:
        """Return a part, or None with the reason kept."""
        if not asked:
            self._left_out[name] = NOT_ASKED
        elif budget.spent():
            self._left_out[name] = "the budget was spent"
        elif not bool(self._gradient.isfinite().all()):
            self._left_out[name] = "the gradient is not finite"
        else:
            try:
                return measure()
            except UnavailableError as error:
                self._left_out[name] = str(error)
        return None

    @cached_property
    def _samples(self) -> Samples:
        subject = self._subject
        chosen = some_samples(subject, max(self._plan.samples, self._plan.jacobian))
        return Samples(subject=subject, point=subject.point, batches=chosen)

    @cached_property
    def _gradients(self) -> dict[str, Tensor]:
        return self._subject.parameters.split(self._gradient)

    def _signals(self) -> Activity:
        return activity(self._samples, width=self._plan.width)

    def _single(self) -> SampleGradients:
        if self._samples.number < LEAST_SAMPLES:
            raise UnavailableError(f"fewer than {LEAST_SAMPLES} samples")
        return sample_gradients(self._samples)

    def _noise(self, single: SampleGradients | None) -> NoiseScale | None:
        if single is None:
            return None
        simple = noise_scale(single)
        asked = self._plan.products > 0
        found = self._part("noise with curvature", lambda: self._curved(simple), asked=asked)
        return found or simple

    def _curved(self, simple: NoiseScale) -> NoiseScale:
        groups = min(self._samples.groups(), self._plan.products)
        left = budget.left_products()
        groups = groups if left is None else min(groups, left)
        if groups < LEAST_GROUPS:
            raise UnavailableError("too few samples, products or bytes to compare groups")
        means = self._samples.plain(groups)
        operator = HessianOperator(self._subject)
        used = self._samples.number // groups * groups
        return with_curvature(simple, operator, means, samples=used)

    def _no_noise(self) -> Estimate:
        reason = self._left_out.get("single gradients", NOT_ASKED)
        nan = float("nan")
        return Estimate(
            value=nan,
            kind="estimate",
            interval=(nan, nan),
            status=Status.SKIPPED,
            method="gradients of single samples",
            reason=reason,
        )

    def _lengths(self, single: SampleGradients | None) -> PerSample | None:
        if single is None:
            return None
        thresholds = {self._plan.clip: "asked for"}
        median = float(torch.from_numpy(single.norms).median())
        if median > 0:
            thresholds.setdefault(median, "the median")

        def clipped() -> tuple[Clipped, ...]:
            return tuple(clip(self._samples, single, c, why) for c, why in thresholds.items())

        return lengths_of(single, self._part("clipping", clipped, asked=True) or ())

    def _jacobian(self) -> Jacobian:
        modules = dict(self._subject.network.model.named_modules())
        names = [name for name, one in modules.items() if isinstance(one, Weighted)]
        generator = torch.Generator().manual_seed(self._plan.seed * 1009 + 1)
        try:
            return jacobian(self._samples, names, most=self._plan.jacobian, generator=generator)
        except NotImplementedError as error:
            raise UnavailableError(str(error)) from error

    def _conditioning(self, signals: Activity | None) -> tuple[Conditioning, ...]:
        if signals is None or not signals.rows:
            return ()
        for name, one in signals.rows.items():
            if one.reason:
                self._left_out[f"conditioning of {name}"] = one.reason
        found = self._part(
            "conditioning", lambda: conditioning(signals.rows, self._matrices()), asked=True
        )
        return found or ()

    def _matrices(self) -> dict[str, Tensor]:
        """Return the gradients (n_out, n_in) of weights that are studied whole and used once."""
        aliases = self._subject.network.aliases
        return {
            block.name.rpartition(".")[0]: self._gradients[block.name].view(block.shape[0], -1)
            for block in self._subject.parameters.blocks
            if block.name.endswith("weight")
            and len(block.shape) > 1
            and block.kept is None
            and not aliases.get(block.name)
        }

    def _smoothness(self) -> Smoothness:
        return smoothness(self._subject, self._gradient, self._plan.learning_rate)
