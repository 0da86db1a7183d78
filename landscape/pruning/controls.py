"""What should do worse than a ticket: shuffled, random and inverted masks, weights drawn anew."""

from __future__ import annotations

from collections.abc import Collection, Mapping

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


def opposite(mask: Mask, generator: torch.Generator) -> Mask:
    """Return a mask that keeps as many weights of every tensor, those that are pruned first.

    The inverted mask where no scores are known: which of the pruned weights are kept is random;
    where there are too few of them, weights that the mask keeps fill up.

    Source: Frankle et al. 2021, arXiv 2009.08576, §4 (inversion).
    Differs from the source: drawn from the pruned weights, not those with the lowest scores.
    """
    drawn = uniform(mask.kept, generator)
    scores = {name: score - mask.kept[name].double() for name, score in drawn.items()}
    return highest_each(scores, [mask.counts[name] for name in mask.kept])


def redrawn(
    tensors: Mapping[str, Tensor], names: Collection[str], generator: torch.Generator
) -> dict[str, Tensor]:
    """Return the tensors with the values of each named one in random order.

    Weights that were drawn independently are so drawn anew, whatever their distribution: what is
    lost is only which weight has which value.

    Args:
        tensors: By name.
        names: What is drawn anew.
        generator: On the CPU.
    """
    found = dict(tensors)
    for name in names:
        tensor = tensors[name]
        order = torch.randperm(tensor.numel(), generator=generator).to(tensor.device)
        found[name] = tensor.flatten()[order].view(tensor.shape)
    return found


def uniform(like: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Return independent uniform scores: their highest are a random mask."""
    return {
        name: torch.rand(one.shape, generator=generator, dtype=torch.float64)
        for name, one in like.items()
    }
