"""Curves through weight space: the line, Bézier curves, polygonal chains."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from scipy.special import comb
from torch import Tensor

from landscape.errors import SettingError
from landscape.linalg.products import gram

PANELS = 64  # of the quadrature of a length, between two corners
NODES, WEIGHTS = np.polynomial.legendre.leggauss(8)


class Curve(ABC):
    """A curve t ↦ θ(t), t in [0, 1], that is a combination Σ cᵢ(t) wᵢ of its control points.

    At t = 0 and 1 it gives the first and the last point themselves, and between equal points it
    stays: every combination is taken by linear interpolations from one point towards another.

    Args:
        points: w (k vectors (n,)), k ≥ 2, of one dtype and device.
    """

    def __init__(self, points: Sequence[Tensor]) -> None:
        if len(points) < 2 or len({point.shape for point in points}) > 1:
            shapes = ", ".join(str(tuple(point.shape)) for point in points)
            raise SettingError(
                "a curve needs two points or more, of one length",
                where=type(self).__name__,
                why=f"the shapes are {shapes or 'none'}",
                hint="give points of one network",
            )
        self.points = tuple(points)

    @property
    def bends(self) -> tuple[Tensor, ...]:
        """Return the control points between the ends."""
        return self.points[1:-1]

    def at(self, t: float) -> Tensor:  # (n,)
        """Return θ(t), differentiable in the control points.

        Raises:
            SettingError: t lies outside [0, 1].
        """
        if not 0 <= t <= 1:
            raise SettingError(
                f"t must lie in [0, 1], got {t:g}",
                where=type(self).__name__,
                why="a path ends at its ends",
                hint="0 is the first end, 1 the last",
            )
        if t in (0, 1):
            return self.points[-int(t)]
        return self._inside(t)

    @abstractmethod
    def coefficients(self, t: float) -> np.ndarray:  # (k,)
        """Return the cᵢ(t), which sum to one."""

    def length(self, until: float = 1.0) -> float:
        """Return the arc length from 0 to t, ∫ ‖θ'(s)‖ ds.

        θ' = Σ vᵢ(s) (wᵢ₊₁ − wᵢ), so that ‖θ'‖² = vᵀGv with the Gram matrix G of the k − 1 steps,
        taken once; the integral is by Gauss-Legendre quadrature between corners.
        """
        total, start = 0.0, 0.0
        for stop in (*(corner for corner in self._corners if corner < until), until):
            panels = np.linspace(start, stop, PANELS + 1)
            half = np.diff(panels) / 2
            nodes = (panels[:-1] + half)[:, None] + half[:, None] * NODES
            speeds = np.array([self._speed(s) for s in nodes.flat]).reshape(nodes.shape)
            total += float((half[:, None] * WEIGHTS * speeds).sum())
            start = stop
        return total

    @property
    def stretch(self) -> float:
        """Return the length over the distance of the ends; infinite when they are one point."""
        distance = float(torch.linalg.vector_norm(self.points[-1] - self.points[0]).double())
        return self.length() / distance if distance else math.inf

    @abstractmethod
    def _inside(self, t: float) -> Tensor: ...

    @abstractmethod
    def _velocity(self, t: float) -> np.ndarray:  # (k - 1,)
        """Return the coefficients of θ'(t) in the steps wᵢ₊₁ − wᵢ."""

    @property
    def _corners(self) -> tuple[float, ...]:
        return ()

    def _speed(self, t: float) -> float:
        v = self._velocity(t)
        return math.sqrt(max(float(v @ self._gram @ v), 0.0))

    @cached_property
    def _gram(self) -> np.ndarray:  # (k - 1, k - 1)
        points = [point.detach() for point in self.points]
        steps = torch.stack([b - a for a, b in pairwise(points)])
        return gram(steps).cpu().double().numpy()


class Bezier(Curve):
    """φ(t) = Σ C(k−1, i) tⁱ (1−t)^(k−1−i) wᵢ, by de Casteljau's scheme.

    Source: Garipov et al. 2018, arXiv 1802.10026, equation 3.
    """

    def coefficients(self, t: float) -> np.ndarray:  # (k,)
        """Return the Bernstein polynomials at t."""
        return _bernstein(len(self.points) - 1, t)

    def _inside(self, t: float) -> Tensor:
        points = list(self.points)
        while len(points) > 1:
            points = [torch.lerp(a, b, t) for a, b in pairwise(points)]
        return points[0]

    def _velocity(self, t: float) -> np.ndarray:
        degree = len(self.points) - 1
        return degree * _bernstein(degree - 1, t)


class Line(Curve):
    """θ(t) = (1 − t) a + t b."""

    def __init__(self, start: Tensor, end: Tensor) -> None:
        super().__init__((start, end))

    def coefficients(self, t: float) -> np.ndarray:  # (2,)
        """Return 1 − t and t."""
        return np.array([1 - t, t])

    def _inside(self, t: float) -> Tensor:
        return torch.lerp(self.points[0], self.points[1], t)

    def _velocity(self, t: float) -> np.ndarray:
        return np.ones(1)


class PolygonalChain(Curve):
    """Straight pieces from point to point, passed through in equal shares of [0, 1].

    cᵢ(t) = max(0, 1 − |t (k − 1) − i|).

    Source: Garipov et al. 2018, arXiv 1802.10026, equation 2.
    """

    def coefficients(self, t: float) -> np.ndarray:  # (k,)
        """Return the hat functions at t."""
        last = len(self.points) - 1
        return np.maximum(0.0, 1 - np.abs(t * last - np.arange(last + 1)))

    def _inside(self, t: float) -> Tensor:
        piece, share = self._place(t)
        return torch.lerp(self.points[piece], self.points[piece + 1], share)

    def _velocity(self, t: float) -> np.ndarray:
        last = len(self.points) - 1
        return last * np.eye(last)[self._place(t)[0]]

    @property
    def _corners(self) -> tuple[float, ...]:
        last = len(self.points) - 1
        return tuple(i / last for i in range(1, last))

    def _place(self, t: float) -> tuple[int, float]:
        last = len(self.points) - 1
        piece = min(int(t * last), last - 1)
        return piece, t * last - piece


def evenly(start: Tensor, end: Tensor, *, bends: int) -> tuple[Tensor, ...]:
    """Return two ends and, evenly on the line between them, some bends: where fitting begins."""
    inner = (torch.lerp(start, end, i / (bends + 1)) for i in range(1, bends + 1))
    return (start, *inner, end)


def _bernstein(degree: int, t: float) -> np.ndarray:
    i = np.arange(degree + 1)
    return comb(degree, i) * t**i * (1 - t) ** (degree - i)
