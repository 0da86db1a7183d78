"""The aligned line with its activation statistics restored at every point."""

from __future__ import annotations

from functools import reduce

from landscape.connectivity.judging import Data
from landscape.paths.evaluation import Evaluated, evaluate
from landscape.paths.grid import COARSE
from landscape.paths.route import Route
from landscape.subject.normalisation import some_batches
from landscape.subject.point import Point
from landscape.subject.subject import Subject
from landscape.symmetry.repair import Repair


def repaired_line(subject: Subject, route: Route, a: Point, b: Point, data: Data) -> Evaluated:
    """Return what every sample loses on the line when REPAIR is applied at each of its points.

    The statistics are measured on some of the training data, the loss on the given data.

    Args:
        subject: Whose network.
        route: The line from a to b.
        a: One end.
        b: The other, aligned with it.
        data: Of the loss.

    Cost: at each of eleven points, at most six passes over some 5000 samples, and one over the
    data.
    """
    batches = some_batches(subject)
    known: list[Repair] = []

    def repaired_point(subject: Subject, *, route: str, t: float) -> Evaluated:
        del route  # part of the key
        if not known:
            known.append(Repair.between(subject, a, b, batches))
        found = known[0].at(line(t), t)
        with found.applied():
            inside = 0 < t < 1  # where the statistics are those that REPAIR has set
            return evaluate(
                subject, lambda _: found.point, [t], data, refresh=not inside, stale=False
            )

    line, name = route, f"{route.digest} {data.batches.hash}"
    parts = [subject.once(repaired_point, route=name, t=t) for t in COARSE]
    return reduce(Evaluated.joined, parts)
