"""Masks: which weights are kept, by parameter name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from landscape.errors import ModelError


@dataclass(frozen=True, kw_only=True)
class Mask:
    """Boolean tensors by parameter name, on the CPU; true weights are kept.

    A tied tensor stands under the first of its names and counts once. Parameters that are not
    named are dense and do not count.

    Args:
        kept: By name.
        provenance: Method, densities, seed, fingerprints: whatever tells where it comes from.
    """

    kept: Mapping[str, Tensor]
    provenance: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @cached_property
    def counts(self) -> dict[str, int]:
        """Return how many weights each tensor keeps."""
        return {name: int(kept.sum()) for name, kept in self.kept.items()}

    @property
    def sizes(self) -> dict[str, int]:
        """Return how many weights each tensor has."""
        return {name: kept.numel() for name, kept in self.kept.items()}

    @property
    def total(self) -> int:
        """Return how many weights are kept."""
        return sum(self.counts.values())

    @property
    def density(self) -> float:
        """Return the share that is kept."""
        return self.total / sum(self.sizes.values())

    @property
    def densities(self) -> dict[str, float]:
        """Return the share that each tensor keeps."""
        return {name: count / self.sizes[name] for name, count in self.counts.items()}

    def within(self, other: Mask) -> bool:
        """Return whether all that is kept here is kept in another mask of the same shapes."""
        return all(bool((~kept | other.kept[name]).all()) for name, kept in self.kept.items())

    def applied(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return tensors by name with every pruned weight exactly zero.

        Raises:
            ModelError: A tensor is missing or has another shape.
        """
        self.check(tensors)
        return {
            name: torch.where(self.kept[name].to(tensor.device), tensor, torch.zeros_like(tensor))
            if name in self.kept
            else tensor
            for name, tensor in tensors.items()
        }

    def check(self, tensors: Mapping[str, Tensor]) -> None:
        """Refuse tensors that the mask does not fit.

        Raises:
            ModelError: A tensor is missing or has another shape.
        """
        for name, kept in self.kept.items():
            if name not in tensors:
                near = ", ".join(list(tensors)[:5])
                raise ModelError(
                    f"the mask names {name!r}, which the network does not have",
                    where="mask",
                    why=f"the network has {near} …",
                    hint="give a mask that was made for this network",
                )
            if kept.shape != tensors[name].shape:
                expected, got = tuple(tensors[name].shape), tuple(kept.shape)
                raise ModelError(
                    f"the mask of {name!r} has shape {got}, expected {expected}",
                    where="mask",
                    why="a mask says of every number whether it is kept",
                    hint="give a mask that was made for this network",
                )


def dense_mask(tensors: Mapping[str, Tensor]) -> Mask:
    """Return the mask that keeps every weight."""
    return Mask(kept={n: torch.ones(t.shape, dtype=torch.bool) for n, t in tensors.items()})


def highest(scores: Mapping[str, Tensor], keep: int, *, among: Mask | None = None) -> Mask:
    """Return the mask of the `keep` highest scores over all tensors; ties go to the earlier weight.

    Args:
        scores: By name.
        keep: How many, at most as many as there are.
        among: Only weights that it keeps are taken, so that masks are nested.
    """
    flat = torch.cat([score.detach().double().cpu().flatten() for score in scores.values()])
    flat = torch.nan_to_num(flat, nan=-torch.inf)
    if among is not None:
        allowed = torch.cat([among.kept[name].flatten() for name in scores])
        order = torch.argsort(flat, descending=True, stable=True)
        chosen = order[allowed[order]][:keep]
    else:
        chosen = torch.argsort(flat, descending=True, stable=True)[:keep]
    kept = torch.zeros(len(flat), dtype=torch.bool)
    kept[chosen] = True
    return Mask(kept=_split(kept, scores))


def highest_each(
    scores: Mapping[str, Tensor], keep: Sequence[int], *, among: Mask | None = None
) -> Mask:
    """Return the mask of the highest scores of every tensor, so many of each."""
    kept = {}
    for (name, score), count in zip(scores.items(), keep, strict=True):
        own = Mask(kept={name: among.kept[name]}) if among is not None else None
        kept |= highest({name: score}, count, among=own).kept
    return Mask(kept=kept)


def _split(flat: Tensor, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    parts = flat.split([one.numel() for one in like.values()])
    return {
        name: part.view(one.shape).clone()
        for part, (name, one) in zip(parts, like.items(), strict=True)
    }
