"""Lines and planes through several checkpoints: a run, three networks, two and their curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from landscape.connectivity.curves import fitted_curve
from landscape.errors import ModelError, SettingError
from landscape.paths.curves import Line
from landscape.paths.plane import Plane
from landscape.paths.route import Route
from landscape.subject.subject import Subject
from landscape.surfaces.frame import Frame
from landscape.surfaces.trajectory import components, refuse_too_few

MARGIN = 0.25  # of the extent of the points, on each side
TRACED = 51  # points of a curve on its plane
TWO, THREE = 2, 3


@dataclass(frozen=True, eq=False, kw_only=True)
class Placed:
    """Where a surface is looked at, and where the checkpoints lie on it.

    Args:
        frame: Coordinates are distances in weight space.
        names: Of the axes.
        positions: Of the checkpoints (t, k).
        apart: Their distances from the line or plane (t,).
        path: A curve, or the run itself (T, 2); None: none.
        explained: Share of the run's squared distances on each axis; None: no run.
    """

    frame: Frame
    names: tuple[str, ...]
    positions: np.ndarray
    apart: np.ndarray
    path: np.ndarray | None
    explained: np.ndarray | None


def refuse_unplaced(subject: Subject, kind: str, *, dimensions: int) -> None:
    """Refuse checkpoints through which a line or plane of a kind cannot lead; others pass.

    Raises:
        SettingError: There are too few or too many, or three lie on a line.
        InputError: They differ in something that no direction moves.
    """
    count = len(subject.checkpoints)
    if kind == "trajectory":
        refuse_too_few(subject, dimensions)
    elif kind == "checkpoints" and count != THREE:
        raise _wrong_number(subject, kind, "three checkpoints")
    elif kind == "curve" and count != TWO:
        raise _wrong_number(subject, kind, "two checkpoints")
    if kind in ("trajectory", "checkpoints", "curve"):
        _refuse_differing(subject)
    if kind == "checkpoints":
        _three(subject)


def run_plane(subject: Subject, *, dimensions: int, points: int, span: float) -> Placed:
    """Return the line or plane of a run's principal components, through its last checkpoint."""
    found = components(subject, count=dimensions)
    axes = [_window(column, points, span) for column in found.positions.T]
    frame = Frame(
        centre=subject.point,
        directions=found.directions,
        x=axes[0],
        y=axes[1] if dimensions > 1 else None,
    )
    names = ("principal component 1", "principal component 2")
    return Placed(
        frame=frame,
        names=names[:dimensions],
        positions=found.positions,
        apart=found.apart,
        path=found.positions if dimensions > 1 else None,
        explained=found.explained,
    )


def three_plane(subject: Subject, names: Sequence[str], *, points: int, span: float) -> Placed:
    """Return the plane through three checkpoints; the first two lie on the first axis."""
    plane = _three(subject)
    axes = (f"from {names[0]} to {names[1]}", f"towards {names[2]}")
    return _spanned(subject, plane, axes, np.array(plane.positions), points, span)


def curve_plane(
    subject: Subject,
    names: Sequence[str],
    *,
    points: int,
    span: float,
    steps: int,
    learning_rate: float,
    seed: int,
) -> Placed:
    """Return the plane through two checkpoints and the bend of the Bézier curve fitted to them.

    The fit is that of `connect` with one bend, and is shared with it.

    Raises:
        ModelError: The curve is straight, so that there is no plane.
    """
    a, b = (subject.point_of(one) for one in subject.checkpoints)
    own = subject.at(subject.checkpoint)
    curve = fitted_curve(own, a, b, bends=1, steps=steps, learning_rate=learning_rate, seed=seed)
    try:
        plane = Plane(a.theta, b.theta, curve.bends[0])
    except SettingError as error:
        raise ModelError(
            "the fitted curve is straight, so that it spans no plane",
            where="--directions curve",
            why=error.why,
            hint="ask `landscape connect` for the line between the two",
        ) from error
    ends = np.array(plane.positions[:2])
    traced = [plane.position(curve.at(float(t))) for t in np.linspace(0, 1, TRACED)]
    axes = (f"from {names[0]} to {names[1]}", "towards the bend")
    return _spanned(subject, plane, axes, ends, points, span, path=np.array(traced))


def _three(subject: Subject) -> Plane:
    a, b, c = (subject.point_of(one).theta for one in subject.checkpoints)
    return Plane(a, b, c)


def _spanned(
    subject: Subject,
    plane: Plane,
    names: tuple[str, str],
    positions: np.ndarray,
    points: int,
    span: float,
    path: np.ndarray | None = None,
) -> Placed:
    """Return a plane with the first checkpoint at the origin, in distances."""
    lengths = np.array(plane.lengths)
    origin = plane.at(0.0, 0.0)
    directions = tuple(
        (plane.at(*end) - origin) / length
        for end, length in zip(((1.0, 0.0), (0.0, 1.0)), plane.lengths, strict=True)
    )
    positions = positions * lengths
    path = None if path is None else path * lengths
    shown = positions if path is None else np.concatenate([positions, path])
    frame = Frame(
        centre=subject.point_of(subject.checkpoints[0]),
        directions=directions,
        x=_window(shown[:, 0], points, span),
        y=_window(shown[:, 1], points, span),
    )
    apart = np.zeros(len(positions))
    return Placed(
        frame=frame, names=names, positions=positions, apart=apart, path=path, explained=None
    )


def _window(places: np.ndarray, count: int, span: float) -> np.ndarray:  # (count,)
    low, high = float(places.min()), float(places.max())
    half = span * (0.5 + MARGIN) * (high - low)
    middle = (low + high) / 2
    return np.linspace(middle - half, middle + half, count)


def _refuse_differing(subject: Subject) -> None:
    """Refuse checkpoints that differ in something that no direction moves."""
    last = subject.point
    for one in subject.checkpoints[:-1]:
        point = subject.at(one).point
        Route(subject.network, Line(point.theta, last.theta), point, last)


def _wrong_number(subject: Subject, asked: str, needed: str) -> SettingError:
    return SettingError(
        f"{needed} are needed, {len(subject.checkpoints)} given",
        where=f"--directions {asked}",
        why="these directions lead from one checkpoint to another",
        hint=f"name {needed}",
    )
