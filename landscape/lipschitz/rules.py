"""All rules of operations, brought together."""

from __future__ import annotations

from landscape.lipschitz import (
    rules_attention,
    rules_linear,
    rules_normalise,
    rules_pointwise,
    rules_pool,
    rules_shape,
)
from landscape.lipschitz.walk import RULES

__all__ = [
    "RULES",
    "rules_attention",
    "rules_linear",
    "rules_normalise",
    "rules_pointwise",
    "rules_pool",
    "rules_shape",
]
