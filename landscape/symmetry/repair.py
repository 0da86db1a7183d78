"""REPAIR: the activation statistics of an interpolated network restored to those of its ends.

Two matched units of correlation r average to one of variance (1 + r) / 2: layer after layer the
interpolated network falls silent. Every channel is given back the mean and standard deviation that
lie between those of the ends,

    μ* = (1 − t) μ_a + t μ_b,    σ* = (1 − t) σ_a + t σ_b,    y ← σ* (y − μ_t) / σ_t + μ*.

Source: Jordan, Sedghi, Saukh, Entezari & Neyshabur 2022, arXiv 2211.08403, section 4.
Differs from the source: where BatchNorm follows a layer, its output is restored instead, since
BatchNorm undoes what is done before it; and the maps of all layers are refined until the
statistics, measured with every map in place, are right. What is left is told.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from torch import Tensor

from landscape.errors import ModelError
from landscape.subject.activations import watching
from landscape.subject.batch import Batch
from landscape.subject.moments import Moments
from landscape.subject.normalisation import normalised, refreshed
from landscape.subject.point import Point
from landscape.subject.subject import Subject
from landscape.symmetry.folding import Affine, folded, renormalised
from landscape.symmetry.repaired import Repaired
from landscape.symmetry.restored import Meter, Statistics, Target, measured, passed, placed, sites

TOLERANCE = 1e-2  # in standard deviations, of the restored statistics from their targets
PASSES = 6  # over the data at most, the one that verifies among them


@dataclass(frozen=True, kw_only=True)
class Repair:
    """The activation statistics of two networks, and the data that they were measured on.

    Args:
        subject: Whose network.
        batches: Gone through again and again.
        start: Statistics of one end, by module.
        end: Statistics of the other.
    """

    subject: Subject
    batches: Iterable[Batch]
    start: Statistics
    end: Statistics

    @classmethod
    def between(
        cls,
        subject: Subject,
        a: Point,
        b: Point,
        batches: Iterable[Batch],
        *,
        names: Iterable[str] | None = None,
    ) -> Repair:
        """Measure two networks, BatchNorm refreshed on the same data as it is between them.

        Cost: a forward pass over the data for each, and another where there is BatchNorm.

        Args:
            subject: Whose network.
            a: One end of the path.
            b: The other end, aligned with it.
            batches: Such as `subject.batches`; what can be iterated more than once.
            names: Modules whose outputs are restored, such as residual blocks; BatchNorm always
                is. None: every convolution, linear layer, `nn.MultiheadAttention` and BatchNorm,
                but not what BatchNorm follows and not the network's output.

        Raises:
            SettingError: There are no batches.
            ModelError: A name is not that of a module, or of one that is not called at both ends.
        """
        found = sites(subject, a, batches)
        if names is not None:
            found = {*names, *(name for name in found if name in normalised(subject.network.model))}
        ends = [refreshed(subject, point, placed(batches, point)) for point in (a, b)]
        start, end = (measured(subject, point, found, batches) for point in ends)
        both = start.keys() & end.keys()  # modules may be called or not by what they are given
        if names is not None and (silent := sorted({*names} - both)):
            raise ModelError(
                f"the forward pass does not call {', '.join(silent)}",
                where="repair",
                why="there is no activation whose statistics could be restored",
                hint="name the modules whose outputs the network computes",
            )
        return cls(
            subject=subject,
            batches=batches,
            start={name: one for name, one in start.items() if name in both},
            end={name: one for name, one in end.items() if name in both},
        )

    def at(self, point: Point, t: float) -> Repaired:
        """Restore the statistics of a network between the two; the ends themselves stay.

        Cost: a forward pass over the data for a first guess, and one or more that verify it.

        Args:
            point: The interpolated weights; their BatchNorm statistics do not matter.
            t: Where it lies, 0 … 1.
        """
        if t in (0, 1):
            return self._kept(point, _Refined())
        targets = {
            name: Target.between(moments, self.end[name], t) for name, moments in self.start.items()
        }
        return self._kept(point, self._refined(point, targets) if targets else _Refined())

    def _refined(self, point: Point, targets: Mapping[str, Target]) -> _Refined:
        """Return the best of a few refinements of the first guess.

        Each makes one more layer exact, whatever it does to the later ones.
        """
        found = self._guessed(point, targets)
        best, passes = _Refined(residual=math.inf), 1
        while passes < PASSES:
            passes += 1
            refined, found = self._verified(point, targets, found, passes)
            grown = refined.residual > best.residual
            best = best if grown else refined
            if best.residual <= TOLERANCE or (grown and len(targets) >= PASSES):
                break
        return replace(best, passes=passes)

    def _guessed(self, point: Point, targets: Mapping[str, Target]) -> Statistics:
        """Return the statistics when every batch is restored by its own."""
        meter = Meter(self.subject)

        def see(name: str, activation: Tensor) -> Tensor:
            own, axis = meter(name, activation)
            return targets[name].affine(own)(activation, axis)

        with watching(self.subject, targets, see):
            passed(self.subject, point, self.batches)
        return meter.found

    def _verified(
        self, point: Point, targets: Mapping[str, Target], found: Statistics, passes: int
    ) -> tuple[_Refined, Statistics]:
        """Return the maps that some statistics call for, and the statistics with these in place."""
        affines = {n: target.affine(found[n]) for n, target in targets.items() if n in found}
        meter, inputs = Meter(self.subject), Meter(self.subject)

        def see(name: str, activation: Tensor) -> Tensor:
            _, axis = meter(name, activation)
            return affines[name](activation, axis)

        norms = [name for name in affines if name in normalised(self.subject.network.model)]
        with (
            watching(self.subject, affines, see),
            watching(self.subject, norms, inputs.see, side="input"),
        ):
            passed(self.subject, point, self.batches)
        seen = [name for name in affines if name in meter.found]
        departures = (targets[n].departure(meter.found[n], affines[n]) for n in seen)
        refined = _Refined(
            affines={name: affines[name] for name in seen},
            inputs=inputs.found,
            residual=max(departures, default=0.0),
            silent=sum(int(targets[n].silent(meter.found[n]).sum()) for n in seen),
            passes=passes,
        )
        return refined, meter.found

    def _kept(self, point: Point, refined: _Refined) -> Repaired:
        network = self.subject.network
        norms = normalised(network.model)
        tensors = network.tensors(point)
        hooked: dict[str, Affine] = {}
        for name, affine in refined.affines.items():
            if name in norms:
                statistics, undoing = renormalised(norms[name], name, tensors, refined.inputs[name])
                tensors |= statistics
                affine = undoing.then(affine)
            changed = folded(network, tensors, name, affine)
            tensors |= changed
            if not changed:
                hooked[name] = affine
        return Repaired(
            subject=self.subject,
            point=network.point(tensors) if refined.affines else point,
            folded=tuple(name for name in refined.affines if name not in hooked),
            hooked=hooked,
            residual=refined.residual,
            silent=refined.silent,
            passes=refined.passes,
        )


def repaired(
    subject: Subject, point: Point, a: Point, b: Point, t: float, batches: Iterable[Batch]
) -> Repaired:
    """Restore the statistics of one network between two, as `Repair.at` does.

    For many points between the same two, measure these once by `Repair.between`.
    """
    return Repair.between(subject, a, b, batches).at(point, t)


@dataclass(frozen=True, kw_only=True)
class _Refined:
    affines: Mapping[str, Affine] = field(default_factory=dict[str, Affine])
    inputs: Mapping[str, Moments] = field(default_factory=dict[str, Moments])
    residual: float = 0.0
    silent: int = 0
    passes: int = 0
