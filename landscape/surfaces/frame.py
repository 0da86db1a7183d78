"""A line or a plane through weight space, as rows of points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from landscape.linalg.products import dots, norm
from landscape.subject.files.fingerprint import fingerprint
from landscape.subject.point import Point


@dataclass(frozen=True, eq=False, kw_only=True)
class Frame:
    """θ(x, y) = c + x d₁ + y d₂, or the lines c + x dₖ.

    Args:
        centre: c, whose rest every point has.
        directions: d, vectors (n,): two of a plane, any number of lines.
        x: Coordinates (g,).
        y: Coordinates (h,); None: each direction is a line of its own.
    """

    centre: Point
    directions: tuple[Tensor, ...]
    x: np.ndarray
    y: np.ndarray | None

    @property
    def rows(self) -> int:
        """Return the number of rows: lines, or values of y."""
        return len(self.directions) if self.y is None else len(self.y)

    @cached_property
    def lengths(self) -> np.ndarray:  # (k,)
        """Return the lengths of the directions."""
        return np.array([norm(one) for one in self.directions])

    @property
    def cosine(self) -> float | None:
        """Return the cosine between the axes of a plane."""
        if self.y is None:
            return None
        first, second = self.directions
        return float(dots(first[None], second)[0]) / float(self.lengths.prod())

    def row(self, number: int) -> Callable[[float], Point]:
        """Return x ↦ point on one row. Cost of a point: one sum of vectors (n,)."""
        theta, along = self.centre.theta, self.directions[0]
        if self.y is None:
            along = self.directions[number]
        else:
            theta = torch.add(theta, self.directions[1], alpha=float(self.y[number]))
        return lambda x: self.centre.moved(torch.add(theta, along, alpha=x))

    @cached_property
    def digest(self) -> str:
        """Return what tells the points from others."""
        axes = {"x": torch.from_numpy(self.x)}
        if self.y is not None:
            axes["y"] = torch.from_numpy(self.y)
        vectors = ({"vector": one} for one in (self.centre.theta, *self.directions))
        return " ".join(map(fingerprint, (axes, self.centre.rest, *vectors)))


def even(count: int, reach: float = 1.0) -> np.ndarray:  # (count,)
    """Return an odd number of even coordinates from −reach to reach, zero exactly among them."""
    half = count // 2
    return np.arange(-half, half + 1) * (reach / half)
