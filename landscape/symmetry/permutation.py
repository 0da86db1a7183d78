"""Permutations of a network's units, and what they do to its tensors."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

Kind = Literal["plain", "heads", "inner"]
Orders = Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Group:
    """Units that one permutation acts on.

    A group with `outers` is the inner part of a wreath product: it has one permutation for each
    index of the outer groups, as the dimensions within each attention head have.
    """

    name: str
    size: int
    kind: Kind
    outers: tuple[str, ...]
    places: tuple[tuple[str, int], ...]  # tensor and axis
    ties: tuple[str, ...]  # the operations that tied these axes together


@dataclass(frozen=True, kw_only=True)
class Block:
    """A rectangular piece of a contiguous tensor ; each dimension is a group or frozen."""

    offset: int
    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    groups: tuple[str | None, ...]
    beside: tuple[tuple[int, ...], ...]  # for each dimension, those of its group's outers

    def view(self, tensor: Tensor) -> Tensor:
        """Return the piece of a contiguous tensor."""
        return tensor.as_strided(self.sizes, self.strides, tensor.storage_offset() + self.offset)

    def occurrences(self, name: str) -> list[int]:
        """Return the dimensions that a group has."""
        return [i for i, group in enumerate(self.groups) if group == name]

    def permuted(self, piece: Tensor, orders: Orders, without: Collection[int] = ()) -> Tensor:
        """Return a piece with its units reordered: new[i] = old[order[i]].

        Args:
            piece: What `view` returned.
            orders: By group; groups that are missing stay.
            without: Dimensions that stay as they are.
        """
        for dim in sorted(range(len(self.groups)), key=lambda i: len(self.beside[i])):
            name = self.groups[dim]
            if name is not None and name in orders and dim not in without:
                piece = self._along(piece, orders[name].to(piece.device), dim)
        return piece

    def _along(self, piece: Tensor, order: Tensor, dim: int) -> Tensor:
        if not self.beside[dim]:
            return piece.index_select(dim, order)
        dims = (*self.beside[dim], dim)
        ascending = sorted(range(len(dims)), key=lambda i: dims[i])
        sizes = dict(zip(dims, order.shape, strict=True))
        shape = [sizes.get(i, 1) for i in range(piece.dim())]
        return piece.take_along_dim(order.permute(ascending).reshape(shape), dim)


@dataclass(frozen=True)
class Permutation:
    """One permutation of every group: new unit i is old unit order[…, i].

    `orders` hold, by group, (n,), or (outer sizes…, n) for inner groups.
    """

    groups: tuple[Group, ...]
    orders: Orders

    @cached_property
    def _outers(self) -> dict[str, tuple[str, ...]]:
        return {group.name: group.outers for group in self.groups}

    def inverse(self) -> Permutation:
        """Return the permutation that undoes this one."""
        found: dict[str, Tensor] = {}
        for name in sorted(self.orders, key=lambda name: len(self._outers[name])):
            table = self._table(name).permuted(self.orders[name], found)
            found[name] = table.argsort(-1)
        return Permutation(self.groups, found)

    def agreement(self, other: Permutation) -> dict[str, Tensor]:
        """Return, by group, which units both place alike: (n,), or (outer sizes…, n)."""
        found: dict[str, Tensor] = {}
        for name in sorted(self.orders, key=lambda name: len(self._outers[name])):
            same = self.orders[name] == other.orders[name].to(self.orders[name].device)
            outers = self._outers[name]
            for i, outer in enumerate(outers):
                beside = [outers.index(each) for each in self._outers[outer]]
                shape = [n if j in (*beside, i) else 1 for j, n in enumerate(same.shape)]
                same = same & found[outer].reshape(shape)
            found[name] = same
        return found

    def recovered(self, other: Permutation, live: Mapping[str, Tensor] | None = None) -> float:
        """Return the share of units that both place alike.

        Args:
            other: A permutation of the same groups.
            live: By group, which units count, in the shape of the orders; None: all.
        """
        same = self.agreement(other)
        kept = {
            name: torch.ones_like(v) if live is None else live[name] for name, v in same.items()
        }
        total = sum(int(each.sum()) for each in kept.values())
        alike = sum(int((same[name] & kept[name]).sum()) for name in same)
        return alike / total if total else 1.0

    def _table(self, name: str) -> Block:
        """Return the layout of a group's orders: its outers' dimensions, and its own."""
        outers = self._outers[name]
        beside = [tuple(outers.index(each) for each in self._outers[outer]) for outer in outers]
        return Block(
            offset=0,
            sizes=tuple(self.orders[name].shape),
            strides=(),
            groups=(*outers, None),
            beside=(*beside, ()),
        )


def identity(groups: Iterable[Group]) -> Permutation:
    """Return the permutation that leaves every unit in its place."""
    groups = tuple(groups)
    shapes = {group.name: order_shape(group, groups) for group in groups}
    orders = {name: torch.arange(shape[-1]).expand(shape) for name, shape in shapes.items()}
    return Permutation(groups, {name: order.clone() for name, order in orders.items()})


def random(groups: Iterable[Group], generator: torch.Generator) -> Permutation:
    """Return a uniformly random permutation of every group.

    Args:
        groups: The groups.
        generator: Of the draws, on the CPU.
    """
    groups = tuple(groups)
    shapes = {group.name: order_shape(group, groups) for group in groups}
    draws = {name: torch.rand(shape, generator=generator) for name, shape in shapes.items()}
    return Permutation(groups, {name: draw.argsort(-1) for name, draw in draws.items()})


def order_shape(group: Group, groups: Iterable[Group]) -> tuple[int, ...]:
    """Return the shape of a group's orders."""
    sizes = {each.name: each.size for each in groups}
    return (*(sizes[outer] for outer in group.outers), group.size)
