"""The plane through three points of weight space."""

from __future__ import annotations

import torch
from torch import Tensor

from landscape.errors import SettingError

FLAT = 1e-6  # of |u|: a third point nearer to the line than that spans no plane


class Plane:
    """θ(x, y) = a + x u + y v, with u = b − a, and v the part of c − a orthogonal to u.

    `a` lies at (0, 0), `b` at (1, 0) and `c` at (x꜀, 1); there the points themselves are given.

    Args:
        a: (n,).
        b: (n,).
        c: (n,), off the line through a and b.

    Raises:
        SettingError: The points lie on a line.

    Source: Garipov et al. 2018, arXiv 1802.10026, §A.
    """

    def __init__(self, a: Tensor, b: Tensor, c: Tensor) -> None:
        u, w = b - a, c - a
        square = _dot(u, u)
        share = _dot(w, u) / square if square else 0.0
        v = w - share * u
        v = v - (_dot(v, u) / square if square else 0.0) * u  # once more, against rounding
        self.lengths = (square**0.5, _dot(v, v) ** 0.5)  # of u and v
        if self.lengths[1] <= FLAT * self.lengths[0] or not square:
            raise SettingError(
                "the three points lie on a line",
                where="Plane",
                why=f"the third is {self.lengths[1]:.3g} off the line through the others, which "
                f"are {self.lengths[0]:.3g} apart",
                hint="take a bend of a fitted curve, or a third run",
            )
        self._a, self._u, self._v = a, u, v
        self.positions = ((0.0, 0.0), (1.0, 0.0), (share, 1.0))  # of a, b and c
        self._given = dict(zip(self.positions, (a, b, c), strict=True))

    def at(self, x: float, y: float) -> Tensor:  # (n,)
        """Return θ(x, y); distances in weight space are x and y times `lengths`."""
        if (x, y) in self._given:
            return self._given[x, y]
        return torch.add(torch.add(self._a, self._u, alpha=x), self._v, alpha=y)

    def position(self, theta: Tensor) -> tuple[float, float]:
        """Return the coordinates (x, y) of a point's projection on the plane."""
        w = theta - self._a
        return _dot(w, self._u) / self.lengths[0] ** 2, _dot(w, self._v) / self.lengths[1] ** 2


def _dot(a: Tensor, b: Tensor) -> float:
    return float(torch.dot(a.double(), b.double()))
