"""A point in weight space: the studied coordinates, and everything else the network holds there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from landscape.errors import NumericalError


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

    def to(self, dtype: torch.dtype) -> Point:
        """Return the point in another precision."""
        rest = {name: t.to(dtype) if t.is_floating_point() else t for name, t in self.rest.items()}
        return Point(self.theta.to(dtype), rest)


def check_finite(tensors: Mapping[str, Tensor], *, where: str) -> None:
    """Refuse weights that are not finite.

    Raises:
        NumericalError: One is NaN or infinite.
    """
    for name, tensor in tensors.items():
        bad = (~torch.isfinite(tensor)).nonzero()
        if len(bad):
            raise NumericalError(
                f"{len(bad)} non-finite values in {name} (first at {bad[0].tolist()})",
                where=where,
                why="curvature and gradients of such weights do not exist",
                hint="run `landscape weights` on the file, and go back to an earlier checkpoint",
            )
