"""The fitted curve between two networks, and the loss on the plane that it spans with them."""

from __future__ import annotations

import numpy as np
import torch

from landscape import progress
from landscape.connectivity.judging import Data
from landscape.connectivity.result import PlaneLoss
from landscape.errors import SettingError
from landscape.paths.curves import Bezier, evenly
from landscape.paths.evaluation import evaluate
from landscape.paths.fit import fit
from landscape.paths.plane import Plane
from landscape.paths.route import Route
from landscape.subject.point import Point
from landscape.subject.subject import Subject

MARGIN = 0.2  # of the plane beyond its points, in their coordinates
TRACED = 51  # points of the curve on the plane


def fitted_curve(
    subject: Subject,
    a: Point,
    b: Point,
    *,
    bends: int,
    steps: int,
    learning_rate: float,
    seed: int,
) -> Bezier:
    """Return the Bézier curve of low loss between two points; a fit that was made is looked up.

    Args:
        subject: Gives network, loss and the training data.
        a: The point at t = 0.
        b: The point at t = 1.
        bends: Between the ends; they begin on the line.
        steps: Of the optimizer, each on one minibatch.
        learning_rate: Of the optimizer.
        seed: Of the places and the order of the minibatches.

    Cost: a forward and a backward pass over a minibatch for each step.
    """
    start = Bezier(evenly(a.theta, b.theta, bends=bends))

    def fitted_bends(
        subject: Subject, *, route: str, steps: int, learning_rate: float, seed: int
    ) -> np.ndarray:
        del route  # part of the key
        generator = torch.Generator().manual_seed(seed)
        found = fit(
            subject,
            start,
            a=a,
            b=b,
            steps=steps,
            learning_rate=learning_rate,
            generator=generator,
        )
        return torch.stack(found.bends).cpu().numpy()

    digest = Route(subject.network, start, a, b).digest
    found = subject.once(
        fitted_bends, route=digest, steps=steps, learning_rate=learning_rate, seed=seed
    )
    middle = torch.from_numpy(found).to(a.theta)
    return Bezier((a.theta, *middle, b.theta))


def plane_loss(
    subject: Subject, curve: Bezier, a: Point, b: Point, data: Data, *, side: int
) -> PlaneLoss | None:
    """Return the loss on the plane through two networks and the middle bend of their curve.

    Args:
        subject: Gives network and loss.
        curve: Its middle bend is the third point.
        a: Lies at the origin.
        b: Lies on the first axis.
        data: Of the loss.
        side: Points along each side.

    Returns:
        None where the three points lie on a line.

    Cost: side² times that of `evaluate` at a point.
    """
    bend = curve.bends[len(curve.bends) // 2]
    try:
        plane = Plane(a.theta, b.theta, bend)
    except SettingError:
        return None
    xs, ys = _grid(plane, side)
    name = f"{Route(subject.network, curve, a, b).digest} {data.batches.hash}"

    def plane_row(subject: Subject, *, route: str, y: float, xs: list[float]) -> np.ndarray:
        del route  # part of the key

        def point(x: float) -> Point:
            return Point(plane.at(x, y), a.rest)

        return evaluate(subject, point, xs, data, stale=False).loss

    rows = []
    with progress.task("the plane", side) as task:
        for y in ys:
            row = subject.once(plane_row, route=name, y=float(y), xs=[float(x) for x in xs])
            rows.append(row)
            task.advance()
    lengths = np.array(plane.lengths)
    traced = [plane.position(curve.at(float(t))) for t in np.linspace(0, 1, TRACED)]
    origin, end, third = plane.positions
    return PlaneLoss(
        x=xs * lengths[0],
        y=ys * lengths[1],
        loss=np.stack(rows),
        corners=np.array([origin, third, end]) * lengths,
        path=np.array(traced) * lengths,
    )


def _grid(plane: Plane, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return even coordinates that reach a little beyond the three points."""
    xs, ys = (np.array(axis) for axis in zip(*plane.positions, strict=True))
    sides = [(axis.min(), axis.max()) for axis in (xs, ys)]
    return tuple(  # type: ignore[return-value] - of two
        np.linspace(low - MARGIN * (high - low), high + MARGIN * (high - low), side)
        for low, high in sides
    )
