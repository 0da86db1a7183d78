"""Masks found without training: a score, in how many rounds, over which weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from landscape import progress
from landscape.errors import SettingError
from landscape.pruning import allocation, scores
from landscape.pruning.controls import uniform
from landscape.pruning.mask import Mask, dense_mask, highest, highest_each
from landscape.pruning.prunable import prunable
from landscape.subject.subject import Subject

Method = Literal[
    "magnitude",
    "random",
    "snip",
    "grasp",
    "synflow",
    "movement",
    "magnitude-increase",
    "large-final",
]
Allocation = Literal["global", "layer", "erk"]
Tensors = Mapping[str, Tensor]

_AT_A_POINT: dict[str, Callable[[Subject, Tensors, tuple[str, ...]], scores.Scores]] = {
    "snip": scores.snip,
    "grasp": scores.grasp,
    "synflow": scores.synflow,
    "magnitude": lambda _, tensors, names: scores.magnitude(tensors, names),
}
_OF_A_PAIR = {
    "movement": scores.movement,
    "magnitude-increase": scores.magnitude_increase,
    "large-final": scores.large_final_same_sign,
}
_SHARES = {"layer": allocation.even_shares, "erk": allocation.kernel_shares}
_IN_ROUNDS = ("snip", "grasp", "synflow")  # whose scores depend on what is pruned already


@dataclass(frozen=True, kw_only=True)
class Found:
    """A mask and the scores that made its last round."""

    mask: Mask
    scores: scores.Scores


def find_mask(
    subject: Subject,
    method: Method,
    density: float,
    *,
    shared: Allocation = "global",
    rounds: int = 1,
    dense: str = "",
    generator: torch.Generator,
) -> Found:
    """Return a mask of exactly the weights that a density keeps.

    Args:
        subject: At its last checkpoint; scores of a pair take the first and the last.
        method: The score.
        density: Share of the prunable weights that is kept.
        shared: Whether all weights compete, or a layer keeps the same share as every other, or
            that of the Erdős–Rényi kernel.
        rounds: In which a score is taken anew on what is left, with densities ρ^(k/n); for scores
            that depend on it.
        dense: Globs of what is kept whole.
        generator: Of random scores.

    Raises:
        SettingError: The method cannot be had: no data, one checkpoint, rounds for nothing.

    Cost: `rounds` times that of the score.
    """
    weights = prunable(subject, dense=dense)
    names = tuple(one.name for one in weights)
    shapes = [one.shape for one in weights]
    check_method(subject, method, rounds)
    tensors = subject.network.tensors(subject.point)
    mask, found = dense_mask({name: tensors[name] for name in names}), scores.Scores()
    with progress.task(f"{method} scores", rounds) as task:
        for share in allocation.schedule(density, rounds):
            keep = allocation.kept_of(sum(one.size for one in weights), share)
            found = _scored(subject, method, mask.applied(tensors), names, generator)
            if shared == "global":
                mask = highest(found, keep, among=mask)
            else:
                room = [mask.counts[name] for name in names]  # so that masks are nested
                counts = allocation.in_proportion(room, _SHARES[shared](shapes), keep)
                mask = highest_each(found, counts, among=mask)
            task.advance()
    return Found(mask=mask, scores=found)


def _scored(
    subject: Subject,
    method: Method,
    tensors: Tensors,
    names: tuple[str, ...],
    generator: torch.Generator,
) -> scores.Scores:
    if method == "random":
        return uniform({name: tensors[name] for name in names}, generator)
    if method in _OF_A_PAIR:
        first = subject.network.tensors(subject.point_of(subject.checkpoints[0]))
        return _OF_A_PAIR[method](first, tensors, names)
    return _AT_A_POINT[method](subject, tensors, names)


def check_method(subject: Subject, method: Method, rounds: int) -> None:
    """Refuse a score that cannot be had.

    Raises:
        SettingError: There are no data, one checkpoint, or rounds for nothing.
    """
    if method in _OF_A_PAIR and len(subject.checkpoints) < 2:
        raise SettingError(
            f"{method} compares two checkpoints, and one is given",
            where="method",
            why="its scores are of what training has changed",
            hint="give the checkpoint before training first, and the one after it last",
        )
    if rounds > 1 and method not in _IN_ROUNDS:
        raise SettingError(
            f"{method} scores do not change from round to round",
            where="rounds",
            why="they do not depend on what is pruned already",
            hint=f"leave rounds at 1, or take {', '.join(_IN_ROUNDS)}",
        )
    if method in ("snip", "grasp", "synflow") and subject.batches is None:
        raise SettingError(
            f"{method} needs data",
            where="method",
            why="only magnitudes, random numbers and pairs of checkpoints do without",
            hint="give --data",
        )
