"""The share of one parameter in the kernel of two blocks of samples, in the cheapest order.

K[n, c; m, e] = ⟨J[n, c], J'[m, e]⟩ with J[n, c] = Σ_t D[c, n, t] ⊗ X[n, t] can be had

- flat: from the Jacobians themselves;
- gram: from the products of inputs X Xᵀ and of derivatives D Dᵀ, without any Jacobian;
- mixed: from the Jacobian of one side, applied to the inputs of the other.

Source: Novak, Sohl-Dickstein & Schoenholz 2022, arXiv 2206.08720, §4 (the same three orders).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from landscape.tangent.factors import Factors, Lookup, Outer

Order = Literal["flat", "gram", "mixed"]


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one order of contraction costs.

    Args:
        order: Which.
        operations: Multiplications and additions.
        numbers: Held at the peak beside factors and kernel.
    """

    order: Order
    operations: float
    numbers: float


def costs(factors: Factors, other: Factors, *, outputs: int, traced: bool) -> tuple[Cost, ...]:
    """Return what every order that applies costs for two blocks, with `outputs` each.

    Args:
        factors: Of the one block.
        other: Of the other.
        outputs: O.
        traced: Whether only Σ_c K[n, c; m, c] is wanted.
    """
    entries = (outputs if traced else outputs**2) * _samples(factors) * _samples(other)
    n, m, size = _samples(factors), _samples(other), _size(factors)
    flat = Cost(
        order="flat",
        operations=entries * size + outputs * (n + m) * size * factors.rows,
        numbers=outputs * (n + m) * size,
    )
    if not isinstance(factors, Outer) or not isinstance(other, Outer):
        if isinstance(factors, Lookup) and isinstance(other, Lookup):
            width, pairs = factors.d.shape[-1], factors.rows * other.rows
            numbers = n * m * pairs * (1 + (1 if traced else outputs**2))
            return flat, Cost(order="gram", operations=entries * pairs * width, numbers=numbers)
        return (flat,)
    groups, inward, outward = factors.x.shape[2], factors.x.shape[3], factors.d.shape[-1]
    pairs = factors.rows * other.rows
    gram = Cost(
        order="gram",
        operations=n * m * pairs * groups * inward + entries * pairs * groups * outward,
        numbers=groups * n * m * pairs * (1 + (1 if traced else outputs**2)),
    )
    mixed = Cost(
        order="mixed",
        operations=outputs * m * size * other.rows
        + n * m * outputs * factors.rows * size
        + entries * factors.rows * groups * outward,
        numbers=outputs * m * size + n * m * outputs * factors.rows * groups * outward,
    )
    return flat, gram, mixed


def cheapest(found: tuple[Cost, ...], *, room: float = math.inf) -> Cost:
    """Return the order with the fewest operations among those that fit, or the smallest."""
    fitting = [one for one in found if one.numbers <= room]
    if fitting:
        return min(fitting, key=lambda one: one.operations)
    return min(found, key=lambda one: one.numbers)


def contracted(
    factors: Factors, other: Factors, order: Order, *, traced: bool = False
) -> Tensor:  # (n, O, m, O), or (n, m)
    """Return the share of a parameter in the kernel of two blocks of samples."""
    if order == "flat":
        return _flat(factors, other, traced=traced)
    if isinstance(factors, Lookup) and isinstance(other, Lookup):
        return _same_row(factors, other, traced=traced)
    if not isinstance(factors, Outer) or not isinstance(other, Outer):
        raise TypeError(f"{type(factors).__name__} has no order {order}")
    return (
        _gram(factors, other, traced=traced)
        if order == "gram"
        else _mixed(factors, other, traced=traced)
    )


def _flat(factors: Factors, other: Factors, *, traced: bool) -> Tensor:
    left, right = factors.flat(), other.flat()
    if traced:
        return torch.einsum("cnp,cmp->nm", left, right)
    whole = left.flatten(0, 1) @ right.flatten(0, 1).T
    return whole.view(*left.shape[:2], *right.shape[:2]).permute(1, 0, 3, 2)


def _gram(factors: Outer, other: Outer, *, traced: bool) -> Tensor:
    if factors.rows == other.rows == 1 and factors.x.shape[2] == 1:
        return _one_row(factors, other, traced=traced)
    inputs = torch.einsum("ntgi,msgi->gntms", factors.x, other.x)
    if traced:
        slopes = torch.einsum("cntgo,cmsgo->gntms", factors.d, other.d)
        return torch.einsum("gntms,gntms->nm", inputs, slopes)
    slopes = torch.einsum("cntgo,emsgo->cegntms", factors.d, other.d)
    return torch.einsum("gntms,cegntms->ncme", inputs, slopes)


def _one_row(factors: Outer, other: Outer, *, traced: bool) -> Tensor:
    """Return (X Xᵀ) ∘ (D Dᵀ), where every sample is one row."""
    inputs = factors.x.flatten(1) @ other.x.flatten(1).T  # (n, m)
    left, right = factors.d.flatten(2), other.d.flatten(2)
    if traced:
        return inputs * torch.einsum("cno,cmo->nm", left, right)
    slopes = (left.flatten(0, 1) @ right.flatten(0, 1).T).view(*left.shape[:2], *right.shape[:2])
    return slopes.permute(1, 0, 3, 2) * inputs[:, None, :, None]


def _mixed(factors: Outer, other: Outer, *, traced: bool) -> Tensor:
    right = torch.einsum("emsgo,msgi->emgoi", other.d, other.x)
    met = torch.einsum("emgoi,ntgi->emntgo", right, factors.x)
    if traced:
        return torch.einsum("cntgo,cmntgo->nm", factors.d, met)
    return torch.einsum("cntgo,emntgo->ncme", factors.d, met)


def _same_row(factors: Lookup, other: Lookup, *, traced: bool) -> Tensor:
    same = (factors.ids[:, :, None, None] == other.ids[None, None]).to(factors.d.dtype)
    if traced:
        slopes = torch.einsum("cnto,cmso->ntms", factors.d, other.d)
        return torch.einsum("ntms,ntms->nm", same, slopes)
    slopes = torch.einsum("cnto,emso->centms", factors.d, other.d)
    return torch.einsum("ntms,centms->ncme", same, slopes)


def _samples(factors: Factors) -> int:
    held = factors.j if not isinstance(factors, Outer | Lookup) else factors.d
    return held.shape[1]


def _size(factors: Factors) -> int:
    """Return how many weights the parameter has."""
    if isinstance(factors, Outer):
        return factors.x.shape[2] * factors.x.shape[3] * factors.d.shape[-1]
    if isinstance(factors, Lookup):
        return factors.size * factors.d.shape[-1]
    return factors.j.shape[-1]
