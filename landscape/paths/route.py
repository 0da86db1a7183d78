"""A curve as points of a network: coordinates from the curve, the rest from its two ends."""

from __future__ import annotations

from copy import copy
from functools import cached_property

import torch
from torch import Tensor

from landscape.errors import InputError
from landscape.paths.curves import Curve
from landscape.subject.files.fingerprint import fingerprint
from landscape.subject.network import Network
from landscape.subject.normalisation import COUNTER, statistics_of
from landscape.subject.point import Point

AGREEMENT = 1e-6  # relative: constants of a network that was built twice


class Route:
    """t ↦ point; t = 0 and 1 give the ends themselves.

    Statistics of normalisation layers between the ends are those of the ends interpolated, which
    is what averaging state dicts gives: they are stale until they are recomputed
    (`landscape.subject.normalisation`).

    Args:
        network: Whose points they are.
        curve: From `a.theta` to `b.theta`.
        a: The point at t = 0.
        b: The point at t = 1.

    Raises:
        InputError: The ends differ in something that the curve does not move.
    """

    def __init__(self, network: Network, curve: Curve, a: Point, b: Point) -> None:
        self.curve = curve
        self._ends = (a, b)
        self._moving = statistics_of(network.model)
        _refuse_differing(network, a, b, self._moving)

    def along(self, curve: Curve) -> Route:
        """Return the route between the same points on another curve."""
        other = copy(self)
        other.curve = curve
        other.__dict__.pop("digest", None)
        return other

    def __call__(self, t: float) -> Point:
        """Return the point at t."""
        if t in (0, 1):
            return self._ends[int(t)]
        a, b = (end.rest for end in self._ends)
        between = {name: torch.lerp(a[name], b[name], t) for name in self._moving}
        return Point(self.curve.at(t), {**a, **between})

    @cached_property
    def digest(self) -> str:
        """Return what tells the route from others: kind of curve, control points, ends."""
        parts: dict[str, Tensor] = {}
        for number, point in enumerate(self.curve.points):
            parts[f"{type(self.curve).__name__} {number}"] = point.detach().clone()
        for number, end in enumerate(self._ends):
            parts |= {f"end {number} {name}": t.clone() for name, t in end.rest.items()}
        return fingerprint(parts)


def _refuse_differing(network: Network, a: Point, b: Point, moving: tuple[str, ...]) -> None:
    """Refuse ends whose frozen parameters, or buffers other than statistics, differ."""
    one, other = network.tensors(a), network.tensors(b.moved(a.theta))
    moved = {block.name for block in network.parameters.blocks if block.kept is None}
    for name in one:
        if name in moved or name in moving or name.endswith(COUNTER):
            continue
        if not _same(one[name], other[name]):
            raise InputError(
                f"the ends differ in {name}, which the path does not move",
                where="path",
                why="only parameters that are studied move, and statistics of BatchNorm are "
                "recomputed; what else differs would belong to neither network",
                hint="study every parameter (--params all); where it is a buffer (spectral norm, "
                "running statistics of another layer), give runs that share it",
            )


def _same(one: Tensor, other: Tensor) -> bool:
    if one.is_floating_point():
        return torch.allclose(one, other, rtol=AGREEMENT, atol=0.0, equal_nan=True)
    return torch.equal(one, other)
