"""Signals through the layers: second moments forward and backward, dead units, mean-field gain."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn

from landscape import progress
from landscape.estimate import Estimate
from landscape.signals.intervals import linearised, of_squares, over_samples, sampled
from landscape.signals.rows import Rows, Weighted
from landscape.signals.samples import Samples
from landscape.signals.slopes import Applied, Place, SeeingSlopes, place_of
from landscape.subject.activations import channel_axis, observing
from landscape.subject.batch import Batch

FLAT = 0.05  # of the steepest slope: what is flatter is saturated


@dataclass(frozen=True, kw_only=True)
class LayerSignal:
    """What passes one layer, forward and backward.

    Args:
        name: Of the module; of an activation function, that of the module which applies it.
        kind: The module's class, or the activation function.
        units: Numbers for each sample.
        forward: q = E‖h‖² / n, of the layer's output h.
        backward: E‖δ‖² / n with δ = N ∂L/∂h; None where no gradient comes back.
        dead: Share of units at which the activation function is flat for every sample and position
            seen; None of other layers.
        saturated: Share of all activations at which it is flat (slope below 1/20 of the steepest).
        gain: χ, the mean squared singular value of the step from the last pre-activation to this
            one; None where that step is not one weight after one activation function.
    """

    name: str
    kind: str
    units: int
    forward: Estimate
    backward: Estimate | None
    dead: Estimate | None
    saturated: Estimate | None
    gain: Estimate | None


@dataclass(frozen=True, kw_only=True)
class MeanField:
    """The gain of a pre-activation's perturbations per layer, over all layers where it is defined.

    Args:
        gain: χ₁, the geometric mean over the layers: gradients vanish below 1 and explode above.
        depth: ξ = 1 / |ln χ₁|, the layers after which they have changed by a factor e.
        layers: How many steps the mean is over.
    """

    gain: Estimate
    depth: Estimate
    layers: int


@dataclass
class _Record:
    """What is kept of one layer over the samples."""

    name: str
    kind: str
    units: int = 0
    forward: list[Tensor] = field(default_factory=list)  # each (b,)
    backward: list[Tensor] = field(default_factory=list)
    saturated: list[Tensor] = field(default_factory=list)
    gain: list[Tensor] = field(default_factory=list)
    steepest: Tensor | None = None  # (units,) the largest slope that was seen


@dataclass(frozen=True, kw_only=True)
class Activity:
    """The signals of all layers, in the order of computation.

    Args:
        layers: One for every module with parameters and every activation function, each call.
        mean_field: None where no layer has a gain.
        rows: Inputs and backward signals of the layers with weights, for their conditioning.
    """

    layers: tuple[LayerSignal, ...]
    mean_field: MeanField | None
    rows: dict[str, Rows]


def activity(samples: Samples, *, width: int = 0) -> Activity:
    """Return the signals of every layer, on some samples.

    Args:
        samples: The samples.
        width: Keep rows for the conditioning of layers up to so many inputs; 0: of none.

    Moments are means over the units and positions of a sample, with Student's interval over the
    samples. χ of a layer with weights W after φ(z) is Σᵢⱼ Wᵢⱼ² E φ′(zⱼ)² / n_out: σ_w² E φ′² for
    random weights.

    Cost: a forward and backward pass over the samples.

    Source: Poole et al. 2016, arXiv 1606.05340; Schoenholz et al. 2017, arXiv 1611.01232.
    """
    watch = _Watch(samples, width, samples.scale)
    with samples.quiet(), progress.task("signals", len(samples.batches)) as task:
        for batch in samples.batches:
            watch.passed(batch)
            task.advance()
    records = list(watch.records.values())
    layers = tuple(_layer(one) for one in records if one.forward)
    if samples.subject.mode == "train":
        layers = tuple(_of_this_batch(one) for one in layers)
    return Activity(layers=layers, mean_field=_mean_field(records), rows=watch.rows)


class _Watch:
    """Sees a network at work, batch after batch."""

    def __init__(self, samples: Samples, width: int, scale: float) -> None:
        self._samples, self._width, self._scale = samples, width, scale
        self.records: dict[str, _Record] = {}
        self.rows: dict[str, Rows] = {}
        self._stack: list[tuple[str, nn.Module, Tensor | None]] = []
        self._calls: dict[str, int] = {}
        self._slopes: dict[Place, tuple[Tensor, bool]] = {}
        self._weighted: set[Place] = set()
        self._axes: dict[Place, int] = {}  # which axis counts the channels of a layer's output
        self._alive: list[Tensor] = []  # so that no place in memory is used again
        self._size = 0

    def passed(self, batch: Batch) -> None:
        """See one batch forward and backward."""
        self._size = batch.samples
        self._calls, self._slopes, self._weighted, self._alive = {}, {}, set(), []
        self._stack, self._axes = [], {}
        subject, point = self._samples.subject, self._samples.point
        theta = point.theta.detach().requires_grad_()
        own = batch.mapped(lambda t: t.clone().requires_grad_() if t.is_floating_point() else t)
        with observing(subject, self._entered, self._left), SeeingSlopes(self._applied):
            loss = subject.objective(point, own)(theta)
        sources = [theta, *(t for t in own.tensors() if t.requires_grad)]  # signals reach these
        if loss.requires_grad:
            torch.autograd.grad(loss, sources, allow_unused=True)
        self._alive = []

    def _entered(self, name: str, module: nn.Module, given: Tensor | None) -> None:
        self._stack.append((name, module, given))

    def _left(self, name: str, module: nn.Module, output: Tensor | None) -> None:
        _, _, given = self._stack.pop()
        if output is None or next(module.parameters(recurse=False), None) is None:
            return
        if len(output) != self._size or not output.is_floating_point():
            return
        key = self._keyed(name)
        record = self.records.setdefault(key, _Record(key, type(module).__name__))
        self._seen(record, output)
        self._axes[place_of(output)] = channel_axis(module, output)
        self._alive.append(output)
        if isinstance(module, Weighted) and given is not None:
            self._gain(record, module, given)
            self._rows(key, module, given, output)
            self._weighted.add(place_of(output))

    def _applied(self, one: Applied) -> None:
        if one.output.dim() < 2 or len(one.output) != self._size:
            return
        name, module, _ = self._stack[-1] if self._stack else ("", None, None)
        own = type(module).__name__.lower() == one.name.replace("_", "")
        key = self._keyed(name if own else f"{name} {one.name}".strip())
        record = self.records.setdefault(key, _Record(key, one.name))
        self._seen(record, one.output)
        slope = one.slope.abs()
        flat = (slope < FLAT * _steepest(one.name)).double().flatten(1).mean(1)
        record.saturated.append(flat.cpu())
        axis = self._axes.get(one.source, 1 if slope.dim() > 3 else -1)
        largest = slope.movedim(axis, -1).flatten(0, -2).amax(0)
        known = record.steepest
        fits = known is not None and known.shape == largest.shape
        record.steepest = torch.maximum(known, largest) if fits else largest  # type: ignore[arg-type]
        self._slopes[place_of(one.output)] = one.slope.square(), one.source in self._weighted
        self._alive.append(one.output)

    def _keyed(self, name: str) -> str:
        """Return a name for this call: the second call of a module is another layer."""
        self._calls[name] = number = self._calls.get(name, 0) + 1
        return name if number == 1 else f"{name} #{number}"

    def _seen(self, record: _Record, output: Tensor) -> None:
        record.units = output[0].numel()
        record.forward.append(_mean_square(output))
        if output.requires_grad:
            output.register_hook(lambda signal: self._returned(record, signal))

    def _returned(self, record: _Record, signal: Tensor) -> None:
        record.backward.append(_mean_square(signal) * self._scale**2)

    def _gain(self, record: _Record, module: Weighted, given: Tensor) -> None:
        squares, direct = self._slopes.get(place_of(given), (None, False))
        if squares is None or not direct:
            return
        weight = module.weight.detach().double().square()
        slope = squares.double().view(given.shape)
        if isinstance(module, nn.Linear):
            each = slope.flatten(1, -2).mean(1) if slope.dim() > 2 else slope
            record.gain.append((each @ weight.sum(0) / len(weight)).cpu())
        elif module.groups == 1:
            each = slope.flatten(2).mean(2)
            record.gain.append((each @ weight.flatten(2).sum((0, 2)) / len(weight)).cpu())

    def _rows(self, key: str, module: Weighted, given: Tensor, output: Tensor) -> None:
        if not self._width:
            return
        if key not in self.rows:
            self.rows[key] = Rows(module, samples=self._samples.number, width=self._width)
        self.rows[key].add(given.detach(), output, self._scale)


def _mean_square(values: Tensor) -> Tensor:  # (b,)
    return values.detach().double().square().flatten(1).mean(1).cpu()


def _steepest(name: str) -> float:
    """Return the largest slope of an activation function, as far as flatness goes."""
    return {"sigmoid": 0.25, "hardsigmoid": 1 / 6}.get(name, 1.0)


def _layer(record: _Record) -> LayerSignal:
    forward, backward, saturated, gain = (
        np.concatenate([part.numpy() for part in parts]) if parts else np.zeros(0)
        for parts in (record.forward, record.backward, record.saturated, record.gain)
    )
    told = f"{len(forward):,} samples"
    dead = None
    if record.steepest is not None:
        flat = record.steepest < FLAT * _steepest(record.kind)
        dead = _dead(float(flat.double().mean()), len(forward), told)
    return LayerSignal(
        name=record.name,
        kind=record.kind,
        units=record.units,
        forward=of_squares(forward, told),
        backward=of_squares(backward, told) if len(backward) == len(forward) else None,
        dead=dead,
        saturated=over_samples(saturated, told) if len(saturated) else None,
        gain=of_squares(gain, told) if len(gain) else None,
    )


def _of_this_batch(layer: LayerSignal) -> LayerSignal:
    """Return what is told of a batch whose samples depend on one another: no doubt of sampling."""
    told = "this batch, whose samples depend on one another"
    numbers = {
        name: Estimate.exact(one.value, told)
        for name, one in vars(layer).items()
        if isinstance(one, Estimate)
    }
    return replace(layer, **numbers)


def _dead(share: float, samples: int, told: str) -> Estimate:
    """Return the share of units that no sample has woken: another may."""
    if share == 0:
        return Estimate.exact(0.0, told)
    return Estimate(
        value=share, kind="upper_bound", interval=(0.0, share), samples=samples, method=told
    )


def _mean_field(records: list[_Record]) -> MeanField | None:
    """Return χ₁ as the geometric mean of the layers' gains, by the delta method over samples."""
    gains = [np.concatenate([part.numpy() for part in one.gain]) for one in records if one.gain]
    if not gains or len({len(one) for one in gains}) > 1:
        return None
    means = np.array([one.mean() for one in gains])
    if not (means > 0).all():
        return None
    value = math.exp(float(np.log(means).mean()))
    influence = np.mean([one / one.mean() - 1 for one in gains], axis=0)
    told = f"{len(gains)} layers, {len(influence):,} samples"
    gain = linearised(value, influence, told, log=True)
    return MeanField(gain=gain, depth=_depth(gain), layers=len(gains))


def _depth(gain: Estimate) -> Estimate:
    """Return ξ = 1 / |ln χ₁|; its lower bound where χ₁ may be 1."""
    low, high = (math.log(end) if end > 0 else -math.inf for end in gain.interval)
    least = 1 / max(abs(low), abs(high), 1e-12)
    told = f"1 / |ln χ₁|, {gain.method}"
    if low <= 0 <= high:
        return Estimate(
            value=least,
            kind="lower_bound",
            interval=(least, math.inf),
            level=gain.level,
            samples=gain.samples,
            method=f"{told}; χ₁ is not told from 1",
        )
    ends = (least, 1 / min(abs(low), abs(high)))
    return sampled(1 / abs(math.log(gain.value)), ends, told, samples=gain.samples)
