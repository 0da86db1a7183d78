"""What a permutation of units is judged by: sums ⟨A, πB⟩ over pieces of tensors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from string import ascii_letters

import torch
from torch import Tensor

from landscape.symmetry.permutation import Block, Orders


@dataclass(frozen=True)
class Term:
    """⟨A, πB⟩ of one piece, whose dimensions are those of a block.

    A dimension may have length one in A or in B: the indices of the other run over it.
    """

    a: Tensor
    b: Tensor
    block: Block

    def value(self, orders: Orders) -> float:
        """Return ⟨A, πB⟩."""
        moved = self.block.permuted(self.b, orders)
        return float((self.a * moved).sum(dtype=torch.float64))

    def scores(self, orders: Orders, dim: int) -> Tensor:  # (outers…, n, n)
        """Return ⟨A_i, πB_j⟩ for all pairs of units along one dimension.

        Args:
            orders: Of all groups; that of this dimension counts as the identity.
            dim: The dimension.
        """
        moved = self.block.permuted(self.b, orders, without=(dim,))
        return contracted(self.a, moved, batch=self.block.beside[dim], pair=dim)


def contracted(a: Tensor, b: Tensor, *, batch: Sequence[int], pair: int | None = None) -> Tensor:
    """Return Σ A B over all dimensions but some.

    Args:
        a: A; dimensions of length one are broadcast.
        b: B.
        batch: Dimensions that stay, in the order of the result.
        pair: A dimension that stays twice, last: as A's index and as B's.
    """
    letters = list(ascii_letters[: a.dim()])
    other = list(letters)
    if pair is not None:
        other[pair] = ascii_letters[a.dim()]
    left, a = _squeezed(a, letters)
    right, b = _squeezed(b, other)
    kept = [letters[i] for i in batch] + ([letters[pair], other[pair]] if pair is not None else [])
    present = [each for each in kept if each in left + right]
    found = torch.einsum(f"{left},{right}->{''.join(present)}", a, b)
    for position, each in enumerate(kept):
        if each not in present:
            found = found.unsqueeze(position)
    return found


def _squeezed(tensor: Tensor, letters: Sequence[str]) -> tuple[str, Tensor]:
    long = [i for i, size in enumerate(tensor.shape) if size > 1]
    return "".join(letters[i] for i in long), tensor.reshape([tensor.shape[i] for i in long])


def paired(term: Term, dim: int, inner: Iterable[str], orders: Orders) -> Term:
    """Return a term for every pair of units of an outer group.

    The dimension becomes two: A's index, and B's. Groups inside it stay free; all others are
    permuted as they stand.

    Args:
        term: The term.
        dim: A dimension of the outer group.
        inner: The groups whose permutation depends on the outer one's index.
        orders: Of all groups.
    """
    block, names = term.block, set(inner)
    free = [i for i, g in enumerate(block.groups) if g in names and dim in block.beside[i]]
    moved = block.permuted(term.b, orders, without=(dim, *free))
    groups = [group if i in free else None for i, group in enumerate(block.groups)]
    beside = [
        _opened(block.beside[i], dim) if i in (dim, *free) else () for i in range(len(groups))
    ]
    return Term(
        term.a.unsqueeze(dim + 1),
        moved.unsqueeze(dim),
        Block(
            offset=0,
            sizes=(),
            strides=(),
            groups=(*groups[: dim + 1], None, *groups[dim + 1 :]),
            beside=(*beside[: dim + 1], (), *beside[dim + 1 :]),
        ),
    )


def _opened(dims: Sequence[int], dim: int) -> tuple[int, ...]:
    """Return dimensions renumbered after one of them has become two."""
    found: list[int] = []
    for each in dims:
        found += [dim, dim + 1] if each == dim else [each + (each > dim)]
    return tuple(found)
