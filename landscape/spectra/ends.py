"""Eigenvalues at both ends of a spectrum, with their residuals as intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass

from landscape.estimate import Estimate, Kind, Status
from landscape.linalg.eigenpairs import Eigenpairs, Pairs


@dataclass(frozen=True, kw_only=True)
class Ends:
    """Eigenvalues at both ends, the extreme one first."""

    top: tuple[Estimate, ...]  # descending
    bottom: tuple[Estimate, ...]  # ascending


def eigenvalues(pairs: Pairs, found: Eigenpairs) -> tuple[Estimate, ...]:
    """Return the eigenvalues of one end: each lies within its residual and the error of products.

    Where it is not shown that none was missed, the k-th value found is a bound of the k-th
    eigenvalue alone, by Cauchy's interlacing: another may lie beyond.
    """
    upper = pairs is found.top
    return tuple(
        _eigenvalue(float(value), float(residual), found, upper=upper)
        for value, residual in zip(pairs.values, pairs.residuals, strict=True)
    )


def _eigenvalue(value: float, residual: float, found: Eigenpairs, *, upper: bool) -> Estimate:
    kind: Kind = "estimate"
    doubt = residual + found.noise
    low, high = value - doubt, value + doubt
    method = "thick-restart Lanczos; an eigenvalue lies within the residual and the products' noise"
    if not found.complete:
        kind = "lower_bound" if upper else "upper_bound"
        low, high = (low, math.inf) if upper else (-math.inf, high)
        method += ", but its rank is not proved: others may lie beyond it"
    converged = found.complete and residual <= found.tolerance
    return Estimate(
        value=value,
        kind=kind,
        interval=(low, high),
        level=1.0,
        solver=(low, high),
        residual=residual,
        status=Status.CONVERGED if converged else found.status,
        method=method,
    )
