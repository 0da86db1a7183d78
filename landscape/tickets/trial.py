"""A trial: a ticket and its controls, trained alike from several seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from landscape import progress
from landscape.budget import BudgetError
from landscape.pruning.mask import Mask, dense_mask
from landscape.tickets.arms import DENSE, TICKET, start_of
from landscape.tickets.data import Judged
from landscape.tickets.imp import check
from landscape.tickets.paths import Paths, paths, refuse_broken, told
from landscape.tickets.training import Trainer


@dataclass(frozen=True, kw_only=True)
class ArmRuns:
    """The runs of one arm.

    Args:
        arm: Its name.
        mask: Of the first seed.
        paths: What that mask leaves.
        judged: One for each seed.
    """

    arm: str
    mask: Mask
    paths: Paths
    judged: list[Judged] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Terms:
    """How arms are trained.

    Args:
        controls: By name.
        seeds: How many.
        seed: The first; the others follow.
        step: To rewind to.
    """

    controls: tuple[str, ...]
    seeds: int
    seed: int
    step: int


def refuse_unfit(trainer: Trainer, tickets: Mapping[str, Mask], step: int) -> None:
    """Refuse what cannot be tried. Cost: two forward and backward passes of two samples a ticket.

    Raises:
        SettingError: A ticket leaves no path, or training cannot begin at the step.
        ModelError: A mask does not fit the network.
    """
    check(trainer, step)
    subject = trainer.subject
    given = subject.network.tensors(subject.point)
    for name, mask in tickets.items():
        mask.check(given)
        refuse_broken(paths(subject, mask), mask, name)


def trials(
    trainer: Trainer, tickets: Mapping[str, Mask], terms: Terms
) -> tuple[dict[str, dict[str, ArmRuns]], ArmRuns]:
    """Return the runs of every arm of every ticket, and those of the dense network.

    All arms of a seed see the same data in the same order; what is random in a control is drawn
    anew for every seed. Each run is remembered by the subject's memory as soon as it ends.

    Args:
        trainer: Trains copies of the subject's network.
        tickets: Masks by name.
        terms: How.

    Raises:
        SettingError: A ticket leaves no path, or training cannot begin at the step.
        ModelError: A mask does not fit the network.
        BudgetError: A budget is spent before the first ticket is judged; after it, the tickets that
            were judged are returned.

    Cost: seeds · (1 + tickets · (1 + controls)) training runs, and one more to rewind to a step.
    """
    refuse_unfit(trainer, tickets, terms.step)
    subject = trainer.subject
    given = subject.network.tensors(subject.point)
    for name, mask in tickets.items():
        told(subject, mask, name)
    begin = _rewound(trainer, given, next(iter(tickets.values())), terms)
    arms = (TICKET, *terms.controls)
    total = terms.seeds * (1 + len(tickets) * len(arms))
    found = dict[str, dict[str, ArmRuns]]()
    with progress.task("runs", total) as task:
        any_mask = next(iter(tickets.values()))
        dense = _runs(trainer, DENSE, any_mask, begin, terms, task, named=DENSE)
        for name, mask in tickets.items():
            try:
                found[name] = {
                    arm: _runs(trainer, arm, mask, begin, terms, task, named=name) for arm in arms
                }
            except BudgetError as error:
                if not found:
                    raise
                subject.note(f"{name} was not judged: {error.what}")
                break
    return found, dense


def _runs(
    trainer: Trainer,
    arm: str,
    ticket: Mask,
    begin: Mapping[str, Tensor],
    terms: Terms,
    task: progress.Task,
    *,
    named: str,
) -> ArmRuns:
    trainable = tuple(trainer.subject.parameters.names)
    starts = [
        start_of(arm, ticket, begin, trainable, terms.seed + number)
        for number in range(terms.seeds)
    ]
    first = starts[0].mask
    paths = told(trainer.subject, first, named if arm == DENSE else f"{named}, {arm}")
    judged = []
    for number, start in enumerate(starts):
        end = trainer.end(start.tensors, start.mask, seed=terms.seed + number, start=terms.step)
        judged.append(end.judged)
        task.advance()
    return ArmRuns(arm=arm, mask=first, paths=paths, judged=judged)


def _rewound(
    trainer: Trainer, given: Mapping[str, Tensor], like: Mask, terms: Terms
) -> Mapping[str, Tensor]:
    """Return the tensors that training of the dense network has at the step to rewind to."""
    if terms.step == 0:
        return given
    whole = dense_mask({name: given[name] for name in like.kept})
    end = trainer.end(given, whole, seed=terms.seed, keep=terms.step)
    return {name: tensor.to(given[name].device) for name, tensor in end.early.items()}
