"""Judge lottery tickets: train them beside their controls, from several seeds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch

from landscape import budget
from landscape.answer import Result
from landscape.base import Diagnostic, Needs, Option, Question
from landscape.errors import InputError, SettingError
from landscape.estimate import Status
from landscape.pruning.files import load
from landscape.pruning.mask import Mask
from landscape.pruning.methods import Method, check_method, find_mask
from landscape.pruning.prunable import prunable
from landscape.subject.files.mask import is_mask
from landscape.subject.subject import Subject
from landscape.tickets import options as of
from landscape.tickets.arms import CONTROLS, controls_of
from landscape.tickets.imp import Plan, search
from landscape.tickets.judgement import EvalResult
from landscape.tickets.judging import Bench
from landscape.tickets.trainers import PLAIN, depends_on, recipe_of, trainer_of
from landscape.tickets.trial import Terms, refuse_unfit, trials
from landscape.work import Work

FLOW_ROUNDS = 100  # of the synaptic flow, as in its source


@dataclass(frozen=True, kw_only=True)
class TicketsEval(Diagnostic[EvalResult]):
    """Judge lottery tickets: train them beside their controls, from several seeds."""

    name: ClassVar[str] = "tickets-eval"
    result: ClassVar[type[Result]] = EvalResult
    question: ClassVar[Question] = "quality"
    needs: ClassVar[Needs] = Needs(independent=True)
    weight: ClassVar[float] = 4.0
    presets: ClassVar = {
        "quick": {
            "rounds": 6,
            "rate": 0.3,
            "controls": "reinit,random",
            "seeds": 1,
            "steps": 200,
        },
        "standard": {},
        "full": {"rounds": 10, "rate": 0.3, "seeds": 10, "steps": 5000},
    }

    mask: Annotated[
        str,
        Option(
            "masks to judge: files or folders, with commas; of the folder that tickets find "
            "wrote its mask, of its levels/ all; empty: of the method"
        ),
    ] = ""
    method: Annotated[
        Literal["magnitude", "random", "snip", "grasp", "synflow", "imp"],
        Option(
            "what makes the mask where no file does: a score at the weights given; imp: a search, "
            "whose every level is judged"
        ),
    ] = "imp"
    density: Annotated[
        float, Option("share of the weights that the mask of a score keeps", above=0, at_most=1)
    ] = 0.2
    rounds: Annotated[int, Option("of pruning, of a search", at_least=1)] = 3
    rate: Annotated[
        float,
        Option("share of the weights left that goes in a round of it", above=0, at_most=0.99),
    ] = 0.5
    controls: Annotated[str, Option("that a ticket must beat, with commas")] = ",".join(CONTROLS)
    seeds: Annotated[
        int, Option("training runs of every arm; one tells nothing of others", at_least=1)
    ] = 5
    level: Annotated[
        float, Option("probability of the intervals and verdicts", at_least=0.5, at_most=0.9999)
    ] = 0.95
    margin: Annotated[
        float,
        Option("least difference that matters: a share of the accuracy or of the loss", above=0),
    ] = 0.01
    train: of.Train = ""
    rewind_step: of.RewindStep = 0
    optimizer: of.Optimizer = "sgd"
    learning_rate: of.LearningRate = 0.1
    momentum: of.Momentum = 0.9
    weight_decay: of.WeightDecay = 0.0
    steps: of.Steps = 1000
    minibatch: of.Minibatch = 64
    schedule: of.Schedule = "constant"

    def depends(self) -> Mapping[str, Any]:
        """Return the settings, and what is in the files of masks and of the training function."""
        files = [hashlib.sha256(path.read_bytes()).hexdigest() for path in self._paths()]
        return {**vars(self), "files": files, **depends_on(self.train)}

    def part(self, subject: Subject) -> Subject:
        """Return the first checkpoint of a run: what training begins with."""
        return subject.at(subject.checkpoints[0])

    def expected(self, subject: Subject) -> str:
        """Return how many training runs it takes."""
        del subject
        return f"{self._runs} training runs"

    def work(self, subject: Subject) -> Work | None:
        """Return the steps of all training runs; a function of the user's own tells none."""
        del subject
        if self.train not in ("", PLAIN):
            return None
        return Work(steps=self._runs * self.steps)

    def refuse(self, subject: Subject) -> None:
        """Refuse files that hold no mask of this network, and training that cannot be had."""
        controls_of(self.controls)
        trainer = trainer_of(subject, self.train, recipe_of(self))
        refuse_unfit(trainer, self._masks(), self.rewind_step)
        if not self.mask:
            prunable(subject)
            if self.method != "imp":
                check_method(subject, self.method, rounds=1)

    def measure(self, subject: Subject) -> EvalResult:
        """Return the verdict on the masks of the files, or on those of the method."""
        if masks := self._masks():
            return self.judge(subject, masks)
        if self.method != "imp":
            return self.judge(subject, self._scored(subject, self.method))
        with budget.shared(self._runs / (self.rounds + 1)):
            sought, limit = self._sought(subject), budget.reached()
        found = self.judge(subject, sought)
        if limit is None or len(sought) == self.rounds:
            return found
        told = f"{_sentence(limit)} was spent after {len(sought)} of {self.rounds} rounds."
        return replace(found, status=Status.BUDGET_SPENT, message=told)

    @property
    def _runs(self) -> int:
        """Return the number of training runs; tickets' first seed is that of the search."""
        masks = self.rounds if self.method == "imp" else 1
        runs = self.seeds * (1 + masks * (1 + len(controls_of(self.controls))))
        return runs + bool(self.rewind_step) * (1 + (self.method == "imp"))

    def judge(self, subject: Subject, masks: Mapping[str, Mask]) -> EvalResult:
        """Return the verdict on masks by name; `run` reads them from files, and guards more.

        Raises:
            SettingError: A mask leaves no path, or a setting does not fit.
            ModelError: A mask does not fit the network.
        """
        tickets = dict(sorted(masks.items(), key=lambda item: -item[1].density))
        trainer = trainer_of(subject, self.train, recipe_of(self))
        terms = Terms(
            controls=controls_of(self.controls),
            seeds=self.seeds,
            seed=self.seed,
            step=self.rewind_step,
        )
        found, dense = trials(trainer, tickets, terms)
        bench = Bench(level=self.level, margin=self.margin, dense=dense, masks=len(found))
        answers = tuple(bench.ticket(name, tickets[name], arms) for name, arms in found.items())
        told = [bench.arm(name, one) for name, arms in found.items() for one in arms.values()]
        cut = _cut(len(found), len(tickets))
        return EvalResult(
            status=Status.BUDGET_SPENT if cut else Status.CONVERGED,
            message=cut or _message(answers[-1].reason, answers[-1].verdict),
            checkpoint=subject.checkpoint.label,
            training=trainer.training.described,
            rewind_step=self.rewind_step,
            judged_on=trainer.data.told,
            fresh=trainer.data.fresh,
            samples=trainer.data.samples,
            seeds=self.seeds,
            level=self.level,
            margin=self.margin,
            quantity=bench.quantity,
            verdict=answers[-1].verdict,
            arms=(*told, bench.arm("", dense)),
            tickets=answers,
        )

    def _sought(self, subject: Subject) -> dict[str, Mask]:
        """Return the masks of iterative magnitude pruning, level by level."""
        plan = Plan(
            rounds=self.rounds,
            rate=self.rate,
            last_rate=None,
            shared="global",
            dense="",
            rewinding="weights",
            step=self.rewind_step,
            seed=self.seed,
        )
        levels = search(trainer_of(subject, self.train, recipe_of(self)), plan)
        provenance = {"method": "imp"}
        found = {
            f"level {one.number}": Mask(kept=one.mask.kept, provenance=provenance)
            for one in levels[1:]
        }
        if not found:
            raise SettingError(
                "the first mask of the search leaves no path from input to output",
                where="rate",
                why=f"{self.rate:.0%} of the weights go in a round",
                hint="prune fewer: a smaller --rate",
            )
        return found

    def _scored(self, subject: Subject, method: Method) -> dict[str, Mask]:
        """Return the mask that the method makes at the weights given."""
        generator = torch.Generator().manual_seed(self.seed)
        rounds = FLOW_ROUNDS if method == "synflow" else 1
        found = find_mask(subject, method, self.density, rounds=rounds, generator=generator).mask
        subject.note(f"the mask judged is made by {method}, {found.total:,} weights kept")
        return {method: Mask(kept=found.kept, provenance={"method": method})}

    def _masks(self) -> dict[str, Mask]:
        """Return the masks of the files, by name."""
        return {path.stem: load(path) for path in self._paths()}

    def _paths(self) -> list[Path]:
        """Return the files of the masks.

        Raises:
            SettingError: A folder holds none.
            InputError: One is not there.
        """
        named = [Path(part.strip()).expanduser() for part in self.mask.split(",") if part.strip()]
        found = list[Path]()
        for path in named:
            found += _masks_in(path) if path.is_dir() else [path]
        if named and not found:
            raise SettingError(
                f"{named[0]} holds no masks",
                where="mask",
                why="a ticket is a mask and the weights that it begins with",
                hint="give --mask mask.safetensors, as landscape tickets find writes it",
            )
        for path in found:
            if not path.is_file():
                raise InputError(
                    f"there is no file '{path}'",
                    where="mask",
                    why="a mask is read from a file",
                    hint="give a file that landscape tickets wrote",
                )
        return found


def _masks_in(folder: Path) -> list[Path]:
    """Return the masks of a folder, without the weights that `tickets find` writes beside one."""
    found = sorted(folder.glob("*.safetensors"))
    return [path for path in found if path.name != of.TICKET or is_mask(path)]


def _message(reason: str, verdict: str) -> str:
    return "" if verdict == "winning" else f"{_sentence(reason)}."


def _cut(judged: int, given: int) -> str:
    """Return what a budget left out; empty: nothing."""
    if judged == given or (limit := budget.reached()) is None:
        return ""
    return f"{_sentence(limit)} was spent after {judged} of {given} tickets were judged."


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}"
