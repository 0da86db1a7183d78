"""What of a surface is looked at, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from landscape.surfaces.normalisation import Normalise

Kind = Literal["random", "eigenvectors", "gradient", "trajectory", "checkpoints", "curve"]
Statistics = Literal["recomputed", "kept"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is looked at, and how; the settings of the diagnostic in one piece."""

    kind: Kind
    dimensions: int
    points: int
    span: float
    draws: int
    normalise: Normalise
    biases: bool
    statistics: Statistics
    samples: int
    check: bool
    curve_steps: int
    curve_learning_rate: float
    seed: int

    @property
    def plane(self) -> bool:
        """Return whether it is a plane."""
        return self.dimensions > 1
