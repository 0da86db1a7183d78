"""An interpolated network whose activation statistics are restored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from landscape.subject.activations import watching
from landscape.subject.batch import Batch
from landscape.subject.point import Point
from landscape.subject.subject import Subject
from landscape.symmetry.folding import Affine
from landscape.symmetry.restored import Meter


@dataclass(frozen=True, kw_only=True)
class Repaired:
    """A network with restored statistics: a point, and what no point can hold.

    Args:
        subject: Whose network.
        point: Its weights with every map that they can hold exactly. The running statistics of
            BatchNorm are those of its inputs here: there is nothing to refresh.
        folded: The modules whose maps are in the weights.
        hooked: The maps of the other modules, which `applied` puts in place.
        residual: The largest departure of a restored mean or standard deviation from its target,
            in standard deviations of the target, measured with all maps in place.
        silent: How many channels are constant here though not at the ends: nothing restores them.
        passes: How often the data were gone through.
    """

    subject: Subject
    point: Point
    folded: tuple[str, ...]
    hooked: Mapping[str, Affine]
    residual: float
    silent: int
    passes: int

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the maps that the weights cannot hold in place for the length of a block."""
        meter = Meter(self.subject)

        def see(name: str, activation: Tensor) -> Tensor:
            return self.hooked[name](activation, meter.axis(name, activation))

        with watching(self.subject, self.hooked, see):
            yield

    def outputs(self, batch: Batch) -> Any:
        """Return the repaired network's outputs for a batch on the subject's device."""
        with self.applied():
            return self.subject.outputs(self.point, batch)
