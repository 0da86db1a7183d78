"""The answer of a search for the permutation that brings one network's units to another's."""

from __future__ import annotations

from dataclasses import dataclass

from landscape.symmetry.permutation import Permutation


@dataclass(frozen=True, kw_only=True)
class Matching:
    """A permutation of B towards A, and how alike the units then are.

    Attributes:
        permutation: The best one found; `symmetry.apply(permutation, b)` lies near A.
        objective: What it attains, at most one.
        before: What the units attain as they stand.
        restarts: What every start of the search attained.
        sweeps: How often the best one went over all groups.
    """

    permutation: Permutation
    objective: float
    before: float
    restarts: tuple[float, ...]
    sweeps: int
