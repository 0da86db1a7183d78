"""Masks that should do worse than a ticket: shuffled, random, inverted."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from landscape.pruning.mask import Mask, highest, highest_each


def shuffled(mask: Mask, generator: torch.Generator) -> Mask:
    """Return a mask that keeps as many weights of every tensor, in random places of it.

    Source: Frankle et al. 2021, arXiv 2009.08576, §4.
    """
    kept = {}
    for name, one in mask.kept.items():
        order = torch.randperm(one.numel(), generator=generator)
        kept[name] = one.flatten()[order].view(one.shape)
    return Mask(kept=kept)


def scattered(mask: Mask, generator: torch.Generator) -> Mask:
    """Return a mask that keeps as many weights in all, in random places of any tensor."""
    return highest(uniform(mask.kept, generator), mask.total)


def inverted(mask: Mask, scores: Mapping[str, Tensor]) -> Mask:
    """Return a mask that keeps as many weights of every tensor, those with the lowest scores.

    Weights that are not finite in score count as lowest and so come first.
    """
    flipped = {name: -torch.nan_to_num(scores[name], nan=-torch.inf) for name in mask.kept}
    return highest_each(flipped, [mask.counts[name] for name in mask.kept])


def uniform(like: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Return independent uniform scores: their highest are a random mask."""
    return {
        name: torch.rand(one.shape, generator=generator, dtype=torch.float64)
        for name, one in like.items()
    }
