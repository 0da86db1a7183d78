"""How unevenly activations and backward signals fill their space, and what that says of Muon."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from landscape import progress
from landscape.estimate import Estimate
from landscape.signals.intervals import linearised
from landscape.signals.rows import Rows

ROUNDING = 1e-12  # of the largest eigenvalue: what is smaller is zero in float64
MOST = 1024  # rows and columns of a gradient whose singular values are computed


@dataclass(frozen=True, kw_only=True)
class Spread:
    """The second-moment matrix A = E[a aᵀ] of some rows.

    Args:
        condition: λ_max / λ_min; None from fewer rows than columns.
        stable_rank: tr A / λ_max, from 1 (one direction) to n (all alike).
        mean_share: ‖E a‖² / E‖a‖², the share of the mean.
    """

    condition: Estimate | None
    stable_rank: Estimate
    mean_share: Estimate


@dataclass(frozen=True, kw_only=True)
class Conditioning:
    """How well conditioned the inputs and the backward signals of one layer with weights are.

    Args:
        name: Of the module.
        width: n of the inputs (of a convolution: of its patches).
        incoming: Of the inputs a.
        outgoing: Of the signals δ; None where none come back.
        nuclear_rank: ‖G‖_*² / ‖G‖_F² of the gradient of the weights, from 1 to its smaller side;
            None where the weights are shared or not all studied.
        spectral_wins: Whether `nuclear_rank` ≥ `incoming.stable_rank`: a step of equal singular
            values (Muon) then lowers the loss more than one along the gradient; None: not decided
            by the interval, or not known.
    """

    name: str
    width: int
    incoming: Spread
    outgoing: Spread | None
    nuclear_rank: Estimate | None
    spectral_wins: bool | None


def conditioning(
    rows: Mapping[str, Rows], gradients: Mapping[str, Tensor]
) -> tuple[Conditioning, ...]:
    """Return the conditioning of layers, in their order.

    Args:
        rows: Of each layer.
        gradients: Of the weights (n_out, n_in), of the layers where it may be judged.

    Cost: one eigendecomposition of each layer's inputs and signals, and singular values of each
    gradient; no pass over the data.

    Source: Martens & Grosse 2015, arXiv 1503.05671 (the factors A and B of a layer's curvature);
    Davis & Drusvyatskiy 2025, arXiv 2512.04299 (nuclear against stable rank).
    """
    found = []
    kept = {name: one for name, one in rows.items() if one.incoming and not one.reason}
    with progress.task("conditioning", len(kept)) as task:
        for name, one in kept.items():
            incoming = torch.cat(one.incoming)
            fits = sum(map(len, one.outgoing)) == len(incoming)
            inward = spread(incoming, "inputs")
            rank = _nuclear_rank(gradients.get(name))
            found.append(
                Conditioning(
                    name=name,
                    width=incoming.shape[-1],
                    incoming=inward,
                    outgoing=spread(torch.cat(one.outgoing), "signals") if fits else None,
                    nuclear_rank=rank,
                    spectral_wins=_wins(rank, inward.stable_rank),
                )
            )
            task.advance()
    return tuple(found)


def spread(rows: Tensor, what: str) -> Spread:
    """Return condition, stable rank and mean share of rows (N, positions, n).

    The intervals are those of other samples, to first order: an eigenvalue moves by vᵀ(aaᵀ − A)v.
    The eigenvectors are fitted to these samples, so λ_max is rather too large and λ_min too small.

    Source: Kato 1966, §II.2 (perturbation); the delta method over samples.
    """
    given = rows.double()
    number, positions, width = given.shape
    matrix = torch.einsum("spi,spj->ij", given, given) / (number * positions)
    values, vectors = torch.linalg.eigh(matrix)
    ends = vectors[:, [0, -1]]
    along = (given @ ends).square().mean(1).numpy()  # (N, 2)
    total = given.square().sum(2).mean(1).numpy()  # (N,)
    low, high, trace = float(values[0]), float(values[-1]), float(values.sum())
    told = f"{what} at {positions} positions of {number:,} samples"
    if not high > 0:
        zero = Estimate.exact(0.0, f"{told}, all zero")
        return Spread(condition=None, stable_rank=zero, mean_share=zero)
    mean = given.mean((0, 1))
    shift = (given.mean(1) @ mean).numpy()  # (N,)
    square = float(mean.square().sum())
    return Spread(
        condition=_condition(low, high, along, told, enough=number * positions >= width),
        stable_rank=linearised(trace / high, total / trace - along[:, 1] / high, told, log=True),
        mean_share=linearised(square / trace, 2 * shift / trace - square * total / trace**2, told),
    )


def _condition(
    low: float, high: float, along: np.ndarray, told: str, *, enough: bool
) -> Estimate | None:
    if not enough:
        return None
    if low <= ROUNDING * high:
        return Estimate(
            value=1 / ROUNDING,
            kind="lower_bound",
            interval=(1 / ROUNDING, math.inf),
            samples=len(along),
            method=f"{told}; some direction never varies",
        )
    return linearised(high / low, along[:, 1] / high - along[:, 0] / low, told, log=True)


def _nuclear_rank(gradient: Tensor | None) -> Estimate | None:
    if gradient is None or min(gradient.shape) > MOST or not bool(gradient.any()):
        return None
    values = torch.linalg.svdvals(gradient.double())
    value = float(values.sum().square() / values.square().sum())
    return Estimate.exact(value, "of the gradient over the given data")


def _wins(rank: Estimate | None, stable: Estimate) -> bool | None:
    if rank is None:
        return None
    low, high = stable.interval
    return None if low < rank.value < high else rank.value >= stable.value
