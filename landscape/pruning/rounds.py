"""How many weights each round of iterative pruning leaves, in exact numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from landscape.pruning.allocation import kept_of
from landscape.pruning.mask import Mask, highest
from landscape.pruning.prunable import Prunable


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Weights that compete with one another.

    Args:
        names: Of their tensors.
        size: How many there are.
        rate: Share of what is left that goes in every round.
    """

    names: tuple[str, ...]
    size: int
    rate: float

    def kept(self, rounds: int) -> int:
        """Return how many are left after some rounds: (1 − rate)^rounds of all, at least one."""
        return kept_of(self.size, (1 - self.rate) ** rounds)


def pools(
    weights: Sequence[Prunable],
    *,
    rate: float,
    last_rate: float | None = None,
    shared: Literal["global", "layer"] = "global",
) -> tuple[Pool, ...]:
    """Return the pools of a network.

    Args:
        weights: In the order of the network.
        rate: Share of what is left that goes in every round.
        last_rate: The same for the last tensor, which then is a pool of its own; None: as the rest.
        shared: Whether all weights compete, or those of a tensor among themselves.

    Source: Frankle & Carbin 2019, arXiv 1803.03635, §2 and appendix G (the last layer at half the
    rate); global pruning §4.
    """
    alone = shared == "layer"
    body = list(weights) if last_rate is None else list(weights[:-1])
    groups = [[one] for one in body] if alone else [body] if body else []
    found = [_pool(group, rate) for group in groups]
    if last_rate is not None:
        found.append(_pool(weights[-1:], last_rate))
    return tuple(found)


def pruned_further(
    scores: Mapping[str, Tensor], parts: Sequence[Pool], rounds: int, *, among: Mask
) -> Mask:
    """Return the mask after some rounds: of each pool the highest scores among what is left.

    Args:
        scores: By name, of every tensor of the pools.
        parts: The pools.
        rounds: How many rounds there were, this one included.
        among: The mask before; the new one is nested in it.
    """
    kept = dict[str, Tensor]()
    for part in parts:
        own = Mask(kept={name: among.kept[name] for name in part.names})
        kept |= highest({n: scores[n] for n in part.names}, part.kept(rounds), among=own).kept
    return Mask(kept={name: kept[name] for name in among.kept})


def _pool(weights: Sequence[Prunable], rate: float) -> Pool:
    return Pool(
        names=tuple(one.name for one in weights), size=sum(one.size for one in weights), rate=rate
    )
