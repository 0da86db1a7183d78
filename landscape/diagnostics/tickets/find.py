"""Find a lottery ticket: train, prune the smallest weights, rewind, and train again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import safetensors.torch

from landscape import budget
from landscape.answer import Result
from landscape.base import Diagnostic, Needs, Option, Question
from landscape.encode import write_atomically
from landscape.estimate import Status
from landscape.pruning.files import save
from landscape.pruning.mask import Mask
from landscape.pruning.prunable import prunable
from landscape.subject.subject import Subject
from landscape.tickets import options as of
from landscape.tickets.found import FindResult, level_answer
from landscape.tickets.imp import Level, Plan, check, search
from landscape.tickets.trainers import depends_on, recipe_of, trainer_of, training_of

LEVELS = "levels"  # folder of the masks of all levels


@dataclass(frozen=True, kw_only=True)
class TicketsFind(Diagnostic[FindResult]):
    """Find a lottery ticket: train, prune the smallest weights, rewind, and train again."""

    name: ClassVar[str] = "tickets-find"
    result: ClassVar[type[Result]] = FindResult
    question: ClassVar[Question] = "quality"
    needs: ClassVar[Needs] = Needs(independent=True)
    surveyed: ClassVar[bool] = False
    files: ClassVar[tuple[str, ...]] = ("mask.safetensors", of.TICKET)
    presets: ClassVar = {
        "quick": {"rounds": 4, "rate": 0.5, "steps": 200},
        "standard": {},
        "full": {"rounds": 20, "steps": 5000},
    }

    train: of.Train = ""
    rounds: Annotated[int, Option("of pruning", at_least=1)] = 10
    rate: Annotated[
        float, Option("share of the weights left that goes in a round", above=0, at_most=0.99)
    ] = 0.2
    last_rate: Annotated[
        float | None,
        Option("the same for the last layer alone; none: as the rest", at_least=0, at_most=0.99),
    ] = None
    shared: Annotated[
        Literal["global", "layer"], Option("whether all weights compete, or those of a layer")
    ] = "global"
    dense: Annotated[str, Option("layers that stay whole: globs with commas; empty: none")] = ""
    rewinding: Annotated[
        Literal["weights", "learning-rate"],
        Option("what goes back: weights, or the learning rate while weights stay trained"),
    ] = "weights"
    rewind_step: of.RewindStep = 0
    optimizer: of.Optimizer = "sgd"
    learning_rate: of.LearningRate = 0.1
    momentum: of.Momentum = 0.9
    weight_decay: of.WeightDecay = 0.0
    steps: of.Steps = 1000
    minibatch: of.Minibatch = 64
    schedule: of.Schedule = "constant"

    def depends(self) -> Mapping[str, Any]:
        """Return the settings, and what is in the file of the training function."""
        return {**vars(self), **depends_on(self.train)}

    def refuse(self, subject: Subject) -> None:
        """Refuse training that cannot be had, and globs that leave nothing to prune."""
        check(trainer_of(subject, self.train, recipe_of(self)), self.rewind_step)
        prunable(subject, dense=self.dense)

    def measure(self, subject: Subject) -> FindResult:
        """Return the levels of a search."""
        trainer = trainer_of(subject, self.train, recipe_of(self))
        levels = search(trainer, self._plan())
        limit = budget.reached() if len(levels) <= self.rounds else None
        told = (
            f"{limit} was spent after {len(levels) - 1} of {self.rounds} rounds." if limit else ""
        )
        last = list(levels[0].mask.kept)[-1] if self.last_rate is not None else ""
        return FindResult(
            status=Status.BUDGET_SPENT if limit else Status.CONVERGED,
            message=f"{told[:1].upper()}{told[1:]}",
            checkpoint=subject.checkpoint.label,
            training=trainer.training.described,
            rewinding=self.rewinding,
            rewind_step=self.rewind_step,
            judged_on=trainer.data.told,
            fresh=trainer.data.fresh,
            samples=trainer.data.samples,
            weights=sum(levels[0].mask.sizes.values()),
            last=last,
            levels=tuple(level_answer(one) for one in levels),
        )

    def levels(self, subject: Subject) -> tuple[Level, ...]:
        """Return masks and weights of every level, the dense network first; after `run`, at once.

        Args:
            subject: Its last checkpoint counts.
        """
        one = subject.at(subject.checkpoint) if len(subject.checkpoints) > 1 else subject
        with one.undisturbed(self.seed):
            return search(trainer_of(one, self.train, recipe_of(self)), self._plan())

    def masks(self, subject: Subject) -> tuple[Mask, ...]:
        """Return the mask of every level, with where it comes from; after `run`, at once."""
        return tuple(
            Mask(kept=one.mask.kept, provenance=self._provenance(subject, one))
            for one in self.levels(subject)
        )

    def keep(self, subject: Subject, folder: Path | None) -> None:
        """Write the ticket's mask, the weights that it starts from, and every level's mask."""
        if folder is None:
            return
        masks = self.masks(subject)
        ticket = self.levels(subject)[-1].begin
        (folder / LEVELS).mkdir(parents=True, exist_ok=True)
        for number, mask in enumerate(masks[1:], start=1):
            save(mask, folder / LEVELS / f"level-{number:02d}.safetensors")
        save(masks[-1], folder / "mask.safetensors")
        whole = {name: tensor.cpu().contiguous() for name, tensor in ticket.items()}
        write_atomically(folder / of.TICKET, safetensors.torch.save(whole))

    def _plan(self) -> Plan:
        return Plan(
            rounds=self.rounds,
            rate=self.rate,
            last_rate=self.last_rate,
            shared=self.shared,
            dense=self.dense,
            rewinding=self.rewinding,
            step=self.rewind_step,
            seed=self.seed,
        )

    def _provenance(self, subject: Subject, level: Level) -> dict[str, Any]:
        return {
            "method": "imp",
            "density": level.asked,
            "kept": level.mask.total,
            "of": sum(level.mask.sizes.values()),
            "shared": self.shared,
            "rounds": level.number,
            "rate": self.rate,
            "last_rate": self.last_rate,
            "dense": self.dense,
            "rewinding": self.rewinding,
            "rewind_step": self.rewind_step,
            "training": training_of(self.train, recipe_of(self)),
            "seed": self.seed,
            "checkpoint": subject.checkpoint.label,
            "weights_fingerprint": subject.weights_fingerprint(subject.checkpoint),
            "batches_hash": subject.batches.hash if subject.batches is not None else None,
            "landscape": version("landscape"),
        }
