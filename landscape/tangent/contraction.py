"""The share of one parameter in the kernel of two blocks of samples, in the cheapest order.

K[n, c; m, e] = ⟨J[n, c], J'[m, e]⟩ with J[n, c] = Σ_t D[n, c, t] ⊗ X[n, t] can be had

- flat: from the Jacobians themselves;
- gram: from the products of inputs X Xᵀ, without any Jacobian;
- mixed: from the Jacobian of one side, applied to the inputs of the other.

Where every sample is one row, the gram order is (X Xᵀ) ∘ (D Dᵀ).

Source: Novak, Sohl-Dickstein & Schoenholz 2022, arXiv 2206.08720, §4 (the same three orders).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from landscape.tangent.factors import Factors, Flat, Lookup, Outer

STRIPS, LEAST_STRIP = 4, 32  # of a symmetric product, and the fewest rows of one

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
    n, m, size = len(_slopes(factors)), len(_slopes(other)), _size(factors)
    pairs, entries = n * m, n * m * (outputs if traced else outputs**2)
    built = 0 if isinstance(factors, Flat) else outputs * (n + m) * size * factors.rows
    flat = Cost(order="flat", operations=entries * size + built, numbers=outputs * (n + m) * size)
    if isinstance(factors, Flat) or isinstance(other, Flat):
        return (flat,)
    rows, others = factors.rows, other.rows
    groups, outward = _slopes(factors).shape[-2:]
    inward = 0 if isinstance(factors, Lookup) else factors.x.shape[-1]
    inputs = pairs * rows * others * groups * inward  # X Xᵀ
    if traced:
        slopes = outputs * pairs * rows * others * groups * outward
        numbers = 2 * pairs * rows * others * groups
    elif rows == others == groups == 1:
        slopes, numbers = entries * outward, 2 * entries
    else:
        met = rows * groups * outward
        slopes = outputs * pairs * others * met + entries * met
        numbers = n * rows * groups * (m * others + outputs * outward)
    gram = Cost(order="gram", operations=inputs + slopes, numbers=numbers)
    if isinstance(factors, Lookup):
        return flat, gram
    met = rows * groups * outward
    mixed = Cost(
        order="mixed",
        operations=outputs * m * size * others + outputs * pairs * met * inward + entries * met,
        numbers=outputs * (m * size + n * met),
    )
    return flat, gram, mixed


def cheapest(found: tuple[Cost, ...], *, room: float = math.inf) -> Cost:
    """Return the order with the fewest operations among those that fit, or the smallest."""
    fitting = [one for one in found if one.numbers <= room]
    if fitting:
        return min(fitting, key=lambda one: one.operations)
    return min(found, key=lambda one: one.numbers)


class Products:
    """Products A Bᵀ of matrices; the last is kept: a bias has the derivatives of its weight."""

    def __init__(self) -> None:
        self._last: tuple[Tensor, Tensor, Tensor] | None = None

    def __call__(self, left: Tensor, right: Tensor) -> Tensor:
        """Return A Bᵀ for rows (n, k) and (m, k). It must not be written to."""
        if self._last is not None and _same(self._last[0], left) and _same(self._last[1], right):
            return self._last[2]
        found = _symmetric(left) if _same(left, right) else left @ right.T
        self._last = (left, right, found)
        return found


def _same(one: Tensor, other: Tensor) -> bool:
    return (one.data_ptr(), one.shape, one.stride()) == (
        other.data_ptr(),
        other.shape,
        other.stride(),
    )


def _symmetric(rows: Tensor) -> Tensor:
    """Return A Aᵀ by strips of its upper triangle."""
    count = len(rows)
    if count < STRIPS * LEAST_STRIP:
        return rows @ rows.T
    found = rows.new_empty(count, count)
    edges = [round(k * count / STRIPS) for k in range(STRIPS + 1)]
    for start, stop in pairwise(edges):
        torch.mm(rows[start:stop], rows[start:].T, out=found[start:stop, start:])
        found[stop:, start:stop] = found[start:stop, stop:].T
    return found


def contracted(
    factors: Factors,
    other: Factors,
    order: Order,
    *,
    traced: bool = False,
    products: Products | None = None,
) -> Tensor:  # (n, O, m, O), or (n, m)
    """Return the share of a parameter in the kernel of two blocks of samples.

    Args:
        factors: Of the one block.
        other: Of the other.
        order: In which.
        traced: Whether only Σ_c K[n, c; m, c] is wanted.
        products: Those of the parameter before.
    """
    product = products or Products()
    if order == "flat":
        return _flat(factors, other, product, traced=traced)
    if isinstance(factors, Flat) or isinstance(other, Flat):
        raise TypeError(f"a Jacobian has no order {order}")
    if traced and order == "gram":
        return _traced(factors, other, product)
    if (
        order == "gram"
        and isinstance(factors, Outer)
        and isinstance(other, Outer)
        and factors.rows == other.rows == factors.x.shape[2] == 1
    ):
        return _one_row(factors, other, product)
    return _sample_by_sample(factors, other, order, traced=traced)


def _flat(factors: Factors, other: Factors, product: Products, *, traced: bool) -> Tensor:
    left = factors.flat()
    right = left if other is factors else other.flat()
    if traced:
        return product(left.flatten(1), right.flatten(1))
    whole = product(left.flatten(0, 1), right.flatten(0, 1))
    return whole.view(*left.shape[:2], *right.shape[:2])


def _one_row(factors: Outer, other: Outer, product: Products) -> Tensor:
    """Return (X Xᵀ) ∘ (D Dᵀ), where every sample is one row."""
    (n, outputs), m = factors.d.shape[:2], len(other.d)
    slopes = product(factors.d.flatten(2).flatten(0, 1), other.d.flatten(2).flatten(0, 1))
    inputs = factors.x.flatten(1) @ other.x.flatten(1).T  # (n, m)
    spread = inputs.repeat_interleave(outputs, 1)[:, None]
    return (slopes.view(n, outputs, m * outputs) * spread).view(n, outputs, m, outputs)


def _traced(factors: Outer | Lookup, other: Outer | Lookup, product: Products) -> Tensor:
    """Return Σ_c K[n, c; m, c] from (X Xᵀ) ∘ (Σ_c D Dᵀ)."""
    left, right = _slopes(factors), _slopes(other)
    if factors.rows == other.rows == left.shape[3] == 1 and isinstance(factors, Outer):
        slopes = product(left.flatten(1), right.flatten(1))
        return slopes * (factors.x.flatten(1) @ other.x.flatten(1).T)  # type: ignore[union-attr]
    slopes = torch.einsum("nctgo,mcsgo->gntms", left, right)
    return torch.einsum("gntms,gntms->nm", _inputs(factors, other), slopes)


def _sample_by_sample(
    factors: Outer | Lookup, other: Outer | Lookup, order: Order, *, traced: bool
) -> Tensor:
    """Return the share one sample of the other block after another: little is held at a time."""
    left, found = _slopes(factors), []
    last = "gnteo,nctgo->nce" if not traced else "gntco,nctgo->n"
    for one in _samples(other):
        right = _slopes(one)[0]
        if order == "gram":
            met = torch.einsum("gnts,esgo->gnteo", _inputs(factors, one)[..., 0, :], right)
        else:
            weights = torch.einsum("esgo,sgi->gieo", right, one.x[0])  # type: ignore[union-attr]
            met = torch.einsum("ntgi,gieo->gnteo", factors.x, weights)  # type: ignore[union-attr]
        found.append(torch.einsum(last, met, left))
    return torch.stack(found, 1 if traced else 2)


def _samples(factors: Outer | Lookup) -> Iterator[Outer | Lookup]:
    for i in range(len(factors.d)):
        one = slice(i, i + 1)
        if isinstance(factors, Lookup):
            yield replace(factors, ids=factors.ids[one], d=factors.d[one])
        else:
            yield replace(factors, x=factors.x[one], d=factors.d[one])


def _inputs(factors: Outer | Lookup, other: Outer | Lookup) -> Tensor:  # (g, n, t, m, s)
    """Return X Xᵀ; of tables, where both read the same row."""
    if isinstance(factors, Lookup) and isinstance(other, Lookup):
        return (factors.ids[:, :, None, None] == other.ids).to(factors.d.dtype)[None]
    if isinstance(factors, Outer) and isinstance(other, Outer):
        return torch.einsum("ntgi,msgi->gntms", factors.x, other.x)
    raise TypeError("a table and a layer have no products of inputs")


def _slopes(factors: Factors) -> Tensor:  # (n, O, T, g, d_o) of a layer or table
    if isinstance(factors, Flat):
        return factors.j
    return factors.d if isinstance(factors, Outer) else factors.d[:, :, :, None]


def _size(factors: Factors) -> int:
    """Return how many weights the parameter has."""
    if isinstance(factors, Outer):
        return factors.x.shape[2] * factors.x.shape[3] * factors.d.shape[-1]
    if isinstance(factors, Lookup):
        return factors.size * factors.d.shape[-1]
    return factors.j.shape[-1]
