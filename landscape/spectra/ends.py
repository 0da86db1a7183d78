"""Eigenvalues at both ends of a spectrum, with their residuals as intervals."""

from __future__ import annotations

from dataclasses import dataclass

from landscape.estimate import Estimate, Status
from landscape.linalg.eigenpairs import Eigenpairs, Pairs


@dataclass(frozen=True, kw_only=True)
class Ends:
    """Eigenvalues at both ends, the extreme one first."""

    top: tuple[Estimate, ...]  # descending
    bottom: tuple[Estimate, ...]  # ascending


def eigenvalues(pairs: Pairs, found: Eigenpairs) -> tuple[Estimate, ...]:
    """Return the eigenvalues of one end: each lies within its residual, for certain."""
    return tuple(
        Estimate(
            value=float(value),
            kind="estimate",
            interval=(float(value - residual), float(value + residual)),
            level=1.0,
            solver=(float(value - residual), float(value + residual)),
            residual=float(residual),
            status=Status.CONVERGED if residual <= found.tolerance else Status.BUDGET_SPENT,
            method="thick-restart Lanczos; an eigenvalue lies within the residual",
        )
        for value, residual in zip(pairs.values, pairs.residuals, strict=True)
    )
