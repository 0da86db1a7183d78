"""A point in weight space: the studied coordinates, and everything else the network holds there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Point:
    """The flat vector of studied coordinates and the rest *of the same checkpoint*.

    `rest` holds buffers, frozen and unselected parameters, and the base values of masked ones.
    """

    theta: Tensor  # (n,)
    rest: Mapping[str, Tensor]

    def moved(self, theta: Tensor) -> Point:
        """Return the point with other coordinates and the same rest."""
        return Point(theta, self.rest)
