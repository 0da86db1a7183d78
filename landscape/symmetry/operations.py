"""Every operation that has a rule: importing this fills the table."""

from __future__ import annotations

from landscape.symmetry import (
    rules_linear,
    rules_normalise,
    rules_pieces,
    rules_pointwise,
    rules_reduce,
    rules_shape,
)
from landscape.symmetry.rules import RULES

FAMILIES = (
    rules_linear,
    rules_normalise,
    rules_pieces,
    rules_pointwise,
    rules_reduce,
    rules_shape,
)
OPERATIONS = frozenset(RULES)
