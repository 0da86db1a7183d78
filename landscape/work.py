"""What an answer takes, counted before it is computed, and how fast a machine is at it."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

EXPORTED = 400  # calls that it takes to read a network's graph, about
BACKWARD = 3  # calls that one forward and backward takes, about


@dataclass(frozen=True, kw_only=True)
class Work:
    """What an answer takes, about.

    Args:
        forwards: Passes of the network over all of the data.
        gradients: Of the mean loss over all of the data.
        products: Of the curvature with one vector, over all of the data.
        steps: Of training, on a minibatch.
        calls: Of the network, beside the time that their samples take in a pass; one forward and
            backward counts as `BACKWARD`.
        operations: Multiplications and additions of large matrices.
        seconds: Of what its own settings set a time.
        limit: Seconds after which its passes end, by its own settings.
        bytes: At the peak, beside network and data; 0: not known.
    """

    forwards: float = 0.0
    gradients: float = 0.0
    products: float = 0.0
    steps: float = 0.0
    calls: float = 0.0
    operations: float = 0.0
    seconds: float = 0.0
    limit: float = math.inf
    bytes: int = 0

    @property
    def derivatives(self) -> bool:
        """Return whether any of the loss is taken."""
        return bool(self.gradients or self.products or self.steps)

    def times(self, count: int) -> Work:
        """Return the same, so many times one after another."""
        taken = {one.name: count * getattr(self, one.name) for one in fields(self)}
        return Work(**{**taken, "bytes": self.bytes})


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Seconds that each takes."""

    forward: float
    gradient: float
    product: float
    step: float
    call: float
    operation: float

    def seconds(self, work: Work) -> float:
        """Return how long some work takes."""
        passes = (
            work.forwards * self.forward
            + work.gradients * self.gradient
            + work.products * self.product
            + work.steps * self.step
            + work.calls * self.call
        )
        return min(passes, work.limit) + work.operations * self.operation + work.seconds


def told_seconds(seconds: float) -> str:
    """Return a time in the unit that suits it, to two digits."""
    if seconds < 1:
        return "1 s"
    units = ((7200, 3600, "h"), (120, 60, "min"), (1, 1, "s"))
    size, unit = next(one[1:] for one in units if seconds >= one[0])
    count = seconds / size
    digits = max(0, 1 - math.floor(math.log10(count)))
    return f"{count:.{digits}f} {unit}" if count < 10 else f"{round(count)} {unit}"
