"""Iterative magnitude pruning: train, prune the smallest weights, rewind, and train again.

Source: Frankle & Carbin 2019, arXiv 1803.03635; late rewinding: Frankle et al. 2020, arXiv
1912.05671; rewinding of the learning rate alone: Renda et al. 2020, arXiv 2003.02389.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from landscape import progress
from landscape.budget import BudgetError
from landscape.errors import SettingError
from landscape.pruning.mask import Mask, dense_mask
from landscape.pruning.prunable import prunable
from landscape.pruning.rounds import Pool, pools, pruned_further
from landscape.pruning.scores import magnitude
from landscape.tickets.data import Judged
from landscape.tickets.paths import Paths, told
from landscape.tickets.training import Trainer

FEWEST = 2  # levels that a search finds at the least: the dense network and one mask
Rewinding = Literal["weights", "learning-rate"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How tickets are sought.

    Args:
        rounds: Of pruning.
        rate: Share of what is left that goes in every round.
        last_rate: The same for the last tensor; None: as the rest.
        shared: Whether all weights compete, or those of a tensor among themselves.
        dense: Globs of what is kept whole.
        rewinding: `weights`: every level starts from the weights of the rewind step;
            `learning-rate`: from those at the end of the level before.
        step: The step to rewind to; 0: the weights given.
        seed: Of every level's training.
    """

    rounds: int
    rate: float
    last_rate: float | None
    shared: Literal["global", "layer"]
    dense: str
    rewinding: Rewinding
    step: int
    seed: int


@dataclass(frozen=True, kw_only=True)
class Level:
    """One level: a mask, the weights that it starts from, and what training makes of them.

    Args:
        number: Rounds of pruning before it.
        asked: The density that the rounds leave, before rounding to whole weights.
        mask: Nested in that of the level before.
        paths: What the mask leaves.
        begin: Every tensor at the start of its training, pruned weights zero.
        judged: The end of its training.
        reported: The number that the training function returned.
    """

    number: int
    asked: float
    mask: Mask
    paths: Paths
    begin: dict[str, Tensor] = field(repr=False)
    judged: Judged = field(repr=False)
    reported: float | None


def search(trainer: Trainer, plan: Plan) -> tuple[Level, ...]:
    """Return the levels of iterative magnitude pruning, the dense network first.

    Every level is remembered by the subject's memory as soon as it is trained, so that a search
    that was cut off goes on from there. It ends early where a mask leaves no path, or where a
    budget is spent after the first round.

    Args:
        trainer: Trains copies of the subject's network.
        plan: How.

    Raises:
        SettingError: Rewinding is to a step from which training cannot begin, or the subject is
            masked already, or in several processes.
        BudgetError: A budget is spent before the end of the first round.

    Cost: rounds + 1 training runs.
    """
    subject = trainer.subject
    check(trainer, plan.step)
    weights = prunable(subject, dense=plan.dense)
    names = tuple(one.name for one in weights)
    parts = pools(weights, rate=plan.rate, last_rate=plan.last_rate, shared=plan.shared)
    initial = subject.network.tensors(subject.point)
    mask, begin = dense_mask({name: initial[name] for name in names}), dict(initial)
    rewound = dict(initial)
    found = list[Level]()
    with progress.task("levels", plan.rounds + 1) as task:
        for number in range(plan.rounds + 1):
            left = told(subject, mask, f"level {number}")
            if left.broken:
                subject.note(f"the search ended before level {number}: no path is left")
                break
            first = number == 0
            try:
                end = trainer.end(
                    begin,
                    mask,
                    seed=plan.seed,
                    start=0 if first else plan.step,
                    keep=plan.step if first and plan.step else None,
                    left=_what_is_left(parts, number + 1, mask, whole=plan.rewinding != "weights"),
                    left_by=_described(parts, number + 1, plan),
                )
            except BudgetError as error:
                if number < FEWEST:
                    raise
                subject.note(f"the search ended before level {number}: {error.what}")
                break
            asked = _asked(parts, number)
            begun = mask.applied(begin)
            found.append(
                Level(
                    number=number,
                    asked=asked,
                    mask=mask,
                    paths=left,
                    begin=begun,
                    judged=end.judged,
                    reported=end.reported,
                )
            )
            if first and plan.step:
                rewound = _placed(end.early, initial)
            mask = _mask(end.left, mask)
            ends = _placed(_named(end.left, "end/"), initial)
            begin = rewound if plan.rewinding == "weights" else ends
            task.advance()
    return tuple(found)


def check(trainer: Trainer, step: int) -> None:
    """Refuse what cannot be trained so.

    Raises:
        SettingError: Of several processes, of a masked subject, or of a step that cannot be
            begun at.
    """
    subject = trainer.subject
    if subject.ranks.size > 1:
        raise SettingError(
            "tickets cannot be trained in several processes",
            where="tickets",
            why="every level is one training run, and that of one process",
            hint="leave torchrun out; the training function may use several devices itself",
        )
    if step and not trainer.training.resumes:
        raise SettingError(
            f"training cannot begin at step {step}",
            where="rewind_step",
            why=f"{trainer.training.described} takes no argument `start`, so schedule and data "
            "would begin anew",
            hint="give the function an argument start, the step to begin at, or rewind to step 0",
        )
    if any(block.kept is not None for block in subject.parameters.blocks):
        raise SettingError(
            "the subject is masked already",
            where="mask",
            why="a ticket is sought among all weights of the network",
            hint="leave the mask out",
        )


def _asked(parts: Sequence[Pool], rounds: int) -> float:
    kept = sum(part.size * (1 - part.rate) ** rounds for part in parts)
    return kept / sum(part.size for part in parts)


def _described(parts: Sequence[Pool], rounds: int, plan: Plan) -> dict[str, Any]:
    """Return what the next mask depends on, beside the weights at the end."""
    counts = [[*part.names, part.kept(rounds)] for part in parts]
    return {"counts": counts, "rewinding": plan.rewinding}


def _what_is_left(
    parts: Sequence[Pool], rounds: int, mask: Mask, *, whole: bool
) -> Callable[[Mapping[str, Tensor]], dict[str, Tensor]]:
    """Return what makes the next mask of the weights at the end, in bits; `whole`: them as well."""

    def left(ends: Mapping[str, Tensor]) -> dict[str, Tensor]:
        scores = magnitude(ends, tuple(mask.kept))
        kept = pruned_further(scores, parts, rounds, among=mask).kept
        found = {f"kept/{n}": torch.from_numpy(np.packbits(k.numpy())) for n, k in kept.items()}
        if whole:
            found |= {f"end/{name}": tensor for name, tensor in ends.items()}
        return found

    return left


def _mask(left: Mapping[str, Tensor], before: Mask) -> Mask:
    bits = _named(left, "kept/")
    kept = dict[str, Tensor]()
    for name, one in before.kept.items():
        whole = np.unpackbits(bits[name].numpy(), count=one.numel()).astype(bool)
        kept[name] = torch.from_numpy(whole).view(one.shape)
    return Mask(kept=kept)


def _named(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def _placed(tensors: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors on the devices of others of their names."""
    return {name: tensor.to(like[name].device) for name, tensor in tensors.items()}
