"""What the parts of one spectrum must agree on: eigenvalues, trace and density.

Eigenvalues are searched for, traces are means over random signs, and the density is the quadrature
of other random vectors, by products of its own or by the first ones of the search.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from landscape.estimate import Estimate
from landscape.spectra.result import SpectrumResult
from landscape.survey.held import ROUNDING, Held, solved

PROBED = 4.0  # standard deviations of the density's mean: probes of few outliers have long tails
MASS = 0.02  # of the density that its grid may miss
TAIL = 5.0  # kernel widths by which the grid passes the outermost nodes
CLEAR = 4.0  # kernel widths between a cut through the density and the eigenvalues beside it
SURE = 1e-6  # probability that random probes miss as much of an end as is allowed for


@dataclass(frozen=True)
class _Part:
    """A density between two cuts, beyond which every eigenvalue is known."""

    count: int  # eigenvalues in it
    mean: float  # of them
    known: float  # Σ λ beyond the cuts
    squares: float  # Σ λ² beyond the cuts
    slack: float  # what the residuals of those and the density at the cuts leave open


def trace_and_density(spectrum: SpectrumResult, where: str) -> Iterator[Held]:
    """Hutchinson's trace, and n times the mean of the density.

    A probe on the sphere gives n vᵀAv with variance 2 n/(n + 2) (‖A‖²_F − tr²A / n). Most of that
    is of the few largest eigenvalues; where they stand apart, they are taken as they were found,
    and the density tells of the others only.
    """
    trace, density = spectrum.trace, spectrum.density
    mass = _integral(density.value, density.grid) if _drawn(spectrum) else math.nan
    if not abs(mass - 1) <= MASS or not math.isfinite(trace.value):
        return
    found = [_weighed(spectrum, part, mass) for part in _parts(spectrum)]
    value, doubt = min(found, key=lambda one: one[1])
    low, high = solved(trace)
    apart = max(low - value, value - high, 0.0)
    yield Held(
        claim="trace: by random signs, and as the mean of the density",
        sections=("spectrum",),
        checkpoint=where,
        agrees=apart <= doubt if math.isfinite(doubt + apart) else None,
        evidence=f"trace {trace:.4g}; by the density {value:.4g} ± {doubt:.1g}",
        advice="Take more probes for both (--probes, --max-probes); if it stays, run "
        "`landscape doctor`.",
    )


def ends_and_density(spectrum: SpectrumResult, where: str) -> Iterator[Held]:
    """The extreme eigenvalues, and where the density ends.

    Every Ritz value lies within the spectrum. From p random vectors on the sphere, s steps reach
    within ε (λ_max − λ_min) of an end but for a probability of (1.648 √n e^(−√ε (2s − 1)))^p.

    Source: Kuczyński & Woźniakowski 1992, SIAM J. Matrix Anal. Appl. 13(4), theorem 4.2.
    """
    if not _drawn(spectrum):
        return
    grid, width = spectrum.density.grid, spectrum.density.width
    low, high = float(grid[0] + TAIL * width), float(grid[-1] - TAIL * width)
    part = _unreached(spectrum)
    beyond = part * (high - low) / (1 - 2 * part) if part < 0.5 else math.inf
    rounding = ROUNDING * max(abs(low), abs(high))
    told = f", within {beyond:.1g} of the true end" if math.isfinite(beyond) else ""
    top, bottom = spectrum.eigenvalues.top[:1], spectrum.eigenvalues.bottom[:1]
    ends = [("λ_max", one, high, 1) for one in top] + [("λ_min", one, low, -1) for one in bottom]
    for name, found, node, side in ends:
        passed = side * (found.value - node)  # by how much it lies beyond the density
        doubt = (found.residual or 0.0) + rounding
        inside, near = passed >= -doubt, passed <= beyond + doubt
        if not math.isfinite(passed) or (inside and math.isinf(beyond)):  # nothing is resolved
            continue
        yield Held(
            claim=f"{name}: of the search, and as the end of the density",
            sections=("spectrum",),
            checkpoint=where,
            agrees=inside and near,
            evidence=f"{found:.4g}; the density ends at {node:.4g}{told}",
            advice="An eigenvalue was missed, or one of the two is wrong: raise "
            "--max-products and --lanczos-steps; if it stays, run `landscape doctor`.",
        )


def eigenvalues_and_norm(spectrum: SpectrumResult, where: str) -> Iterator[Held]:
    """Σλ² of the eigenvalues found, and ‖A‖²_F where it is the sum over all entries.

    Where the norm is estimated, it holds the eigenvalues that were found, and confirms nothing.
    """
    whole = spectrum.frobenius_squared
    if whole.kind != "exact" or not math.isfinite(whole.value):
        return
    least = sum(max(abs(one.value) - (one.residual or 0.0), 0.0) ** 2 for one in spectrum.pairs)
    yield Held(
        claim="squared Frobenius norm: by columns, not below Σλ² of the search",
        sections=("spectrum",),
        checkpoint=where,
        agrees=least <= whole.value * (1 + ROUNDING),
        evidence=f"Σλ² = {least:.4g} of {whole.value:.4g}",
    )


def _drawn(spectrum: SpectrumResult) -> bool:
    density = spectrum.density
    finite = bool(np.isfinite(density.value).all() and np.isfinite(density.grid).all())
    return density.status.settled and len(density.grid) > 1 and finite


def _unreached(spectrum: SpectrumResult) -> float:
    """Return ε: the part of the range at an end that all probes miss with probability 10⁻⁶."""
    n, steps = spectrum.parameters, spectrum.lanczos_steps
    if steps >= n:
        return 0.0
    exponent = math.log(1.648 * math.sqrt(n)) + math.log(1 / SURE) / spectrum.probes
    return (exponent / (2 * steps - 1)) ** 2


def _weighed(spectrum: SpectrumResult, part: _Part, mass: float) -> tuple[float, float]:
    """Return the trace by a part of the density and the known eigenvalues, with its doubt."""
    trace, count = spectrum.trace.value, part.count
    value = part.known + count * part.mean
    squares = spectrum.frobenius_squared.value - part.squares
    spread = max(squares - (trace - part.known) ** 2 / count, 0.0)
    doubt = PROBED * math.sqrt(2 * spread / spectrum.probes) + part.slack
    doubt += abs(mass - 1) * max(abs(value), abs(trace)) + spectrum.density.width
    return value, doubt


def _parts(spectrum: SpectrumResult) -> Iterator[_Part]:
    """Yield the whole density, and what is left of it without eigenvalues that stand apart."""
    top, bottom = spectrum.eigenvalues.top, spectrum.eigenvalues.bottom
    above, below = [(math.inf, 0)], [(-math.inf, 0)]
    if spectrum.complete:
        above += _gaps(top, spectrum.density.width)
        below += _gaps(bottom, spectrum.density.width)
    for high, tops in above:
        for low, bottoms in below:
            count = spectrum.parameters - tops - bottoms
            part = _between(spectrum, low, high, count, top[:tops] + bottom[:bottoms])
            if low < high and count > 0 and part is not None:
                yield part


def _gaps(end: tuple[Estimate, ...], width: float) -> list[tuple[float, int]]:
    """Return cuts between neighbours that stand apart, and how many eigenvalues lie beyond."""
    pairs = enumerate(pairwise(end), start=1)
    return [
        ((one.value + other.value) / 2, number)
        for number, (one, other) in pairs
        if abs(one.value - other.value) > 2 * CLEAR * width
    ]


def _between(
    spectrum: SpectrumResult, low: float, high: float, count: int, known: tuple[Estimate, ...]
) -> _Part | None:
    grid, value = spectrum.density.grid, spectrum.density.value
    inside = (grid > low) & (grid < high)
    mass = _integral(value[inside], grid[inside])
    if inside.sum() < 2 or mass <= 0:
        return None
    slack = sum(one.residual or 0.0 for one in known)
    for cut in (low, high):
        near = np.abs(grid - cut) < CLEAR * spectrum.density.width / 2
        if near.any():
            slack += spectrum.parameters * abs(cut) * _integral(value[near], grid[near])
    return _Part(
        count=count,
        mean=_integral((grid * value)[inside], grid[inside]) / mass,
        known=sum(one.value for one in known),
        squares=sum(one.value**2 for one in known),
        slack=slack,
    )


def _integral(value: np.ndarray, grid: np.ndarray) -> float:
    """Return the integral by trapezoids."""
    return float(np.dot((value[1:] + value[:-1]) / 2, np.diff(grid)))
