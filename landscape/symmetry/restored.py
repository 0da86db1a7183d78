"""Which activations are restored, and their statistics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]
from torch.nn.modules.conv import _ConvNd  # pyright: ignore[reportPrivateUsage]

from landscape.errors import SettingError
from landscape.subject.activations import Side, by_channel, channel_axis, watching
from landscape.subject.batch import Batch
from landscape.subject.moments import ROUNDING, Moments
from landscape.subject.outputs import logits_of
from landscape.subject.point import Point
from landscape.subject.subject import Subject
from landscape.symmetry.folding import Affine

MATRIX = 2  # axes that samples and channels need

Statistics = dict[str, Moments]


@dataclass(frozen=True, kw_only=True)
class Target:
    """The mean and standard deviation that every channel is to have."""

    mean: Tensor  # (C,)
    deviation: Tensor  # (C,)

    @classmethod
    def between(cls, start: Moments, end: Moments, t: float) -> Target:
        """Return (1 − t) of one and t of the other."""
        return cls(
            mean=torch.lerp(start.mean, end.mean, t),
            deviation=torch.lerp(start.deviation, end.deviation, t),
        )

    def silent(self, found: Moments) -> Tensor:  # (C,) boolean
        """Return which channels are constant though they are to vary: no scale restores them."""
        still = found.constant | (found.deviation <= ROUNDING * self.deviation)
        return still & (self.deviation > ROUNDING * self.mean.abs())

    def affine(self, found: Moments) -> Affine:
        """Return the map that gives channels of some moments these ones."""
        still = found.constant | self.silent(found)
        scale = torch.where(still, 1.0, self.deviation / found.deviation)
        return Affine(scale=scale, shift=self.mean - scale * found.mean)

    def departure(self, found: Moments, affine: Affine) -> float:
        """Return how far mapped channels are from these moments, in standard deviations."""
        judged = (self.deviation > ROUNDING * self.mean.abs()) & ~self.silent(found)
        mean = affine.scale * found.mean + affine.shift
        deviation = affine.scale.abs() * found.deviation
        apart = torch.maximum((mean - self.mean).abs(), (deviation - self.deviation).abs())
        return float((apart / self.deviation)[judged].max()) if bool(judged.any()) else 0.0


class Meter:
    """Gathers the moments of the channels that it is shown, module by module."""

    def __init__(self, subject: Subject) -> None:
        self._model = subject.network.model
        self.found: Statistics = {}

    def __call__(self, name: str, activation: Tensor) -> tuple[Moments, int]:
        """Add an activation, and return its own moments and the axis of its channels."""
        axis = self.axis(name, activation)
        own = Moments.of(by_channel(activation, axis))
        self.found[name] = self.found[name].merged(own) if name in self.found else own
        return own, axis

    def axis(self, name: str, activation: Tensor) -> int:
        """Return the axis of a module's activation that counts its channels."""
        return channel_axis(self._model.get_submodule(name), activation)

    def see(self, name: str, activation: Tensor) -> None:
        """Add an activation and leave it as it is."""
        self(name, activation)


def passed(subject: Subject, point: Point, batches: Iterable[Batch]) -> Any:
    """Run a network forward over the data for what its hooks see, and return the last outputs.

    Raises:
        SettingError: There are no batches.
    """
    outputs = None
    with subject.undisturbed(0), torch.no_grad():
        for batch in placed(batches, point):
            outputs = subject.outputs(point, batch)
    if outputs is None:
        raise SettingError(
            "no batches to measure activations on",
            where="repair",
            why="they were empty, or an iterator that had been used up",
            hint="give a list, or what subject.batches holds",
        )
    return outputs


def placed(batches: Iterable[Batch], point: Point) -> Iterator[Batch]:
    """Yield the batches on the device of a point, in its precision."""
    return (batch.to(point.theta.device, point.theta.dtype) for batch in batches)


def measured(
    subject: Subject,
    point: Point,
    names: Iterable[str],
    batches: Iterable[Batch],
    *,
    side: Side = "output",
) -> Statistics:
    """Return the moments of some modules' channels. Cost: a forward pass over the data."""
    meter = Meter(subject)
    with watching(subject, names, meter.see, side=side):
        passed(subject, point, batches)
    return meter.found


def sites(subject: Subject, point: Point, batches: Iterable[Batch]) -> set[str]:
    """Return the modules whose outputs are restored unless others are named.

    These are convolutions, linear layers, attention and BatchNorm as far as a forward pass calls
    them; not what goes straight into BatchNorm, which would undo it, not what is computed without
    samples, such as weights from weights, and not the network's output.
    """
    modules = dict(subject.network.model.named_modules())
    kinds = _ConvNd | nn.Linear | nn.MultiheadAttention | _BatchNorm
    candidates = {name for name, module in modules.items() if isinstance(module, kinds)}
    norms = {name for name, module in modules.items() if isinstance(module, _BatchNorm)}
    computed: list[tuple[str, Tensor, int]] = []  # with the version: in-place maps raise it
    dropped: set[str] = set()

    def drop(tensor: Tensor) -> None:
        same = (n for n, t, v in computed if t is tensor and v == tensor._version)
        dropped.update(same)

    def compute(name: str, activation: Tensor) -> None:
        computed.append((name, activation, activation._version))
        if activation.dim() < MATRIX:
            dropped.add(name)

    def normalise(name: str, activation: Tensor) -> None:
        del name
        drop(activation)

    with (
        watching(subject, candidates, compute),
        watching(subject, norms, normalise, side="input"),
    ):
        outputs = passed(subject, point, islice(batches, 1))
    drop(logits_of(outputs))
    return {name for name, _, _ in computed} - dropped
