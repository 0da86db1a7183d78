"""The contract that every diagnostic signs: a frozen question about a subject."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import (
    Annotated,
    Any,
    ClassVar,
    Generic,
    Literal,
    Self,
    TypeVar,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

import numpy as np

from landscape import budget, progress
from landscape.answer import Cost, Result
from landscape.errors import SettingError
from landscape.estimate import worst
from landscape.subject.cost import measuring
from landscape.subject.mode import DEPENDENT
from landscape.subject.subject import Subject
from landscape.work import Work

Question = Literal["convergence", "speed", "quality", "weights"]
HANDED_ON_LIMIT = 256 * 2**20  # bytes that one checkpoint of a series may leave to the next


@dataclass(frozen=True)
class Option:
    """How a setting is explained and bounded, once, for library, command line and schema."""

    help: str
    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None

    @property
    def bounds(self) -> str:
        """Return the allowed range in words, empty when there is none."""
        parts = (
            ("at least", self.at_least),
            ("above", self.above),
            ("at most", self.at_most),
        )
        return " and ".join(f"{word} {bound:g}" for word, bound in parts if bound is not None)

    def admits(self, value: Any) -> bool:
        """Return whether a value lies inside the bounds."""
        if value is None or isinstance(value, str | bool):
            return True
        return math.isfinite(value) and not (
            (self.at_least is not None and value < self.at_least)
            or (self.above is not None and value <= self.above)
            or (self.at_most is not None and value > self.at_most)
        )


EXAMPLE = ", for example --model nets.py:build --data nets.py:data"


@dataclass(frozen=True)
class Needs:
    """What a subject must have before a diagnostic can be asked.

    `checkpoints` is the smallest and largest number (None: no limit); `each` says that they are
    studied one by one, as a series, rather than together; `independent`, that samples must not
    depend on one another, as those of train mode may; `shape`, that of the data the shape of the
    inputs will do, which is found by trial where there are none.
    """

    model: bool = True
    data: bool = True
    checkpoints: tuple[int, int | None] = (1, None)
    each: bool = True
    independent: bool = False
    shape: bool = False

    def missing(self, subject: Subject) -> tuple[str, str] | None:
        """Return (what is missing, which flag unlocks it), or None when nothing is."""
        if self.model and subject.model is None:
            data = self.data and not self.shape
            return "no model was given", "--model" + (" and --data" if data else "")
        if self.data and subject.batches is None:
            if not self.shape:
                return "no data were given", "--data"
            if isinstance(misfit := subject.trial, str):
                return f"no data were given, and no inputs that were tried fit: {misfit}", "--data"
        if self.independent and subject.mode == "train":
            return DEPENDENT, "--mode eval"
        least, most = self.checkpoints
        count = len(subject.checkpoints)
        if count < least:
            return f"{least} checkpoints are needed, {count} given", "another checkpoint"
        if most is not None and count > most:
            return f"at most {most} checkpoints can be studied, {count} given", "fewer checkpoints"
        return None


R = TypeVar("R", bound=Result)


@dataclass(frozen=True)
class Followed(Generic[R]):
    """An answer at one checkpoint of a series, and what the next may start from."""

    answer: R
    left: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class Diagnostic(ABC, Generic[R]):
    """A frozen question about a subject.

    A subclass declares annotated settings and `measure`, and refuses beforehand in `refuse` what
    they cannot be asked of; `run` checks that, guards the subject, and seals the answer with
    settings, seed, cost and provenance. One that gains from the checkpoint before in a series sets
    `follows` and overrides `follow`.
    """

    name: ClassVar[str]
    result: ClassVar[type[Result]]
    question: ClassVar[Question]
    needs: ClassVar[Needs] = Needs()
    follows: ClassVar[bool] = False
    budgeted: ClassVar[bool] = True  # whether it ends when a budget is spent
    surveyed: ClassVar[bool] = True  # whether a report asks it
    weight: ClassVar[float] = 1.0  # of its share of a report's budget
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    seed: Annotated[int, Option("seed of every random draw", at_least=0)] = 0

    def __init_subclass__(cls, **more: Any) -> None:
        """Refuse a result that could not be made, before anything is computed for it."""
        super().__init_subclass__(**more)
        result: Any = getattr(cls, "result", None)
        if lacking := sorted(getattr(result, "__abstractmethods__", ())):
            raise TypeError(
                f"{result.__name__}, the result of {cls.__name__}, lacks {', '.join(lacking)}: "
                "define each in it, as landscape.answer.Result says what it returns"
            )

    def __new__(cls, *_: Any, **settings: Any) -> Self:
        """Refuse a setting that does not exist, before a dataclass does with less to say."""
        known = [f.name for f in dataclasses.fields(cls)]
        for name in settings:
            if name not in known:
                raise _unknown_setting(cls, name, known)
        return super().__new__(cls)

    def __post_init__(self) -> None:
        for key, (kind, option) in self.options().items():
            _check_setting(type(self), key, kind, option, getattr(self, key))

    @classmethod
    def options(cls) -> dict[str, tuple[Any, Option]]:
        """Return type and explanation of every setting, by name."""
        hints = get_type_hints(cls, include_extras=True)
        return {
            f.name: (
                get_args(hints[f.name])[0],
                next(a for a in get_args(hints[f.name]) if isinstance(a, Option)),
            )
            for f in dataclasses.fields(cls)
        }

    @classmethod
    def preset(cls, name: str, **settings: Any) -> Self:
        """Return the question with the settings of a preset, some of them replaced."""
        return cls(**{**cls.presets.get(name, {}), **settings})

    @abstractmethod
    def measure(self, subject: Subject) -> R:
        """Return the answer for a subject that satisfies `needs`; `run` fills the envelope in."""

    def follow(self, subject: Subject, before: np.ndarray | None) -> Followed[R]:
        """Return the answer at one checkpoint of a series, and what the next may start from.

        Args:
            subject: With one checkpoint.
            before: What the checkpoint before left; None for the first, or when it left nothing.
        """
        del before
        return Followed(self.measure(subject))

    def depends(self) -> Mapping[str, Any]:
        """Return what an answer depends on beside the subject: the settings."""
        return vars(self)

    def check(self, subject: Subject) -> None:
        """Refuse, before anything is computed, what cannot be asked of a subject.

        What the question needs, that weights are finite and fit data and loss, and what `refuse`
        says of each checkpoint, or of all together. `run`, a dry run and the plan of a report ask
        this alike.

        Raises:
            LandscapeError: It cannot be asked.

        Cost: one forward pass over the data, and one over those held out.
        """
        if not isinstance(subject, Subject):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise SettingError(
                f"{self.name} is asked of a Subject, not of {type(subject).__name__}",
                where=f"{type(self).__name__}.run",
                why="a Subject binds network, data, loss and checkpoints together",
                hint="give a Subject: ls.Subject(model, loss, data)",
            )
        if (missing := self.needs.missing(subject)) is not None:
            asked = (type(self).__doc__ or self.name).strip().split("\n")[0]
            example = EXAMPLE if missing[1].startswith(("--model", "--data")) else ""
            raise SettingError(
                f"{self.name} cannot be answered: {missing[0]}",
                where=f"{type(self).__name__}.run",
                why=f"it tells this: {asked}",
                hint=f"give {missing[1]}{example}",
            )
        if subject.ranks.size > 1 and budget.timed():
            raise SettingError(
                "a time budget cannot be kept by several processes alike",
                where="--budget",
                why="they would stop at different steps",
                hint="give it in products: --budget 500hvp",
            )
        with subject.ranks.together(self.name):
            _ = subject.batches, subject.held_out
            if self.needs.data and subject.batches is not None:
                _ = subject.count, subject.counted_held_out
            if self.needs.model:
                for checkpoint in subject.checkpoints:
                    _ = subject.at(checkpoint).point
            for one in map(subject.at, subject.checkpoints) if self.needs.each else (subject,):
                self.refuse(one)

    def refuse(self, subject: Subject) -> None:
        """Refuse what these settings cannot be asked of this subject; for what is known at once.

        Args:
            subject: As `measure` has it: with one checkpoint where each is studied by itself.
        """
        del subject

    def run(self, subject: Subject) -> R:
        """Answer the question, leaving the subject as it was.

        With `needs.each`, every checkpoint is studied by itself, and `series` holds the answers; a
        budget is shared equally among those to come.

        Raises:
            LandscapeError: It cannot be asked of this subject, as `check` says.
        """
        self.check(subject)
        with subject.ranks.together(self.name):
            return self._answered(subject)

    def _answered(self, subject: Subject) -> R:
        if not self.needs.each or len(subject.checkpoints) == 1:
            return self._remembered(subject).answer
        answers, left = list[R](), None
        count = len(subject.checkpoints)
        for number, checkpoint in enumerate(subject.checkpoints):
            place = progress.within(checkpoint.label, number + 1, count)
            with place, budget.shared(count - number):
                step = self._remembered(subject.at(checkpoint), left, place=(number, count))
            answers.append(step.answer)
            left = step.left
        whole = subject.provenance()
        told = [note for answer in answers for note in answer.provenance["notes"]]
        status = worst(*(answer.status for answer in answers))
        gravest = next(answer for answer in answers if answer.status is status)
        return replace(
            answers[-1],
            series=tuple(answers),
            status=status,
            message=gravest.message if status.settled else _of_each(answers),
            cost=Cost.total([answer.cost for answer in answers]),
            provenance={**whole, "notes": [*dict.fromkeys([*whole["notes"], *told])]},
        )

    def fitted(self, subject: Subject) -> Self:
        """Return the question with settings that are possible for a subject; for presets."""
        del subject
        return self

    def part(self, subject: Subject) -> Subject:
        """Return the part of a subject that a report asks about; all of it."""
        return subject

    def expected(self, subject: Subject) -> str:
        """Return in a few words what the answer will cost, where that is known before."""
        del subject
        return ""

    def work(self, subject: Subject) -> Work | None:
        """Return about what the answer takes at all checkpoints; None where that is not known."""
        del subject
        return None

    def _remembered(
        self,
        subject: Subject,
        before: np.ndarray | None = None,
        *,
        place: tuple[int, int] = (0, 1),
    ) -> Followed[R]:
        """Return what the subject's folder remembers, or a new answer.

        What was handed on is remembered too, so that a series that goes on gives the same numbers.
        Under a budget an answer depends on its share of it: on its place in the series.
        """
        if subject.memory.folder is None:
            return self._sealed(subject, before)
        told, (number, count) = budget.told(), place
        asked = (self.depends(), told if told is None else (told, *place, budget.place()))
        key = (self.result.schema_name(), asked, subject.identity(), _digest(before))
        new: list[Followed[R]] = []

        def computed() -> Followed[R]:
            if not new:
                new.append(self._sealed(subject, before))
            return new[0]

        def left() -> np.ndarray:
            found = computed().left
            return found if found is not None else np.zeros(0)

        handed = np.zeros(0)
        if self.follows and number < count - 1:
            handed = subject.memory.once(("left", *key), left, np.ndarray)
        document = subject.memory.once(("answer", *key), lambda: computed().answer.to_json(), dict)
        answer = cast("R", self.result.from_json(document))
        if not new:  # so that what comes after has as much left as it had the first time
            budget.charge(answer.cost.products)
        return Followed(answer, handed if handed.size else None)

    def _sealed(self, subject: Subject, before: np.ndarray | None) -> Followed[R]:
        started = time.perf_counter()
        with subject.undisturbed(self.seed), measuring(subject.device) as meter:
            step = self.follow(subject, before)
        cost = Cost(
            seconds=time.perf_counter() - started,
            products=meter.products,
            peak_memory_bytes=meter.peak_memory_bytes(),
            samples=subject.batches.samples if subject.batches is not None else 0,
        )
        settings = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        answer = replace(
            step.answer,
            message=step.answer.message or step.answer.status.sentence,
            settings=settings,
            seed=self.seed,
            cost=cost,
            provenance={**subject.provenance(), "budget": budget.told()},
        )
        fits = step.left is not None and step.left.nbytes <= HANDED_ON_LIMIT
        return Followed(answer, step.left if fits else None)


def _of_each(answers: Sequence[Result]) -> str:
    """Return the messages of those answers that are not settled, by their checkpoints."""
    return " ".join(f"{one.label}: {one.message}" for one in answers if not one.status.settled)


def _digest(array: np.ndarray | None) -> str | None:
    if array is None:
        return None
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def _unknown_setting(owner: type, name: str, known: Sequence[str]) -> SettingError:
    near = difflib.get_close_matches(name, known, n=1)
    return SettingError(
        f"{owner.__name__} has no setting {name!r}",
        where=f"{owner.__name__}({name}=…)",
        why=f"its settings are {', '.join(known)}",
        hint=f"did you mean {near[0]}?" if near else "give one of these",
    )


def _check_setting(owner: type, key: str, kind: Any, option: Option, value: Any) -> None:
    where = f"{owner.__name__}.{key}"
    default = next(f.default for f in dataclasses.fields(owner) if f.name == key)
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            choices = ", ".join(get_args(kind))
            raise SettingError(
                f"{where} must be one of {choices}, got {value!r}",
                where=where,
                why=option.help,
                hint=f"the default is {default!r}",
            )
        return
    if not _is_of(kind, value):
        expected = getattr(kind, "__name__", str(kind))
        raise SettingError(
            f"{where} must be of type {expected}, got {value!r}",
            where=where,
            why=option.help,
            hint=f"the default is {default!r}",
        )
    if not option.admits(value):
        raise SettingError(
            f"{where} must be {option.bounds or 'finite'}, got {value!r}",
            where=where,
            why=option.help,
            hint=f"the default is {default!r}",
        )


def _is_of(kind: Any, value: Any) -> bool:
    kinds = get_args(kind) or (kind,)
    if isinstance(value, bool):
        return bool in kinds
    return any(isinstance(value, (int, float) if one is float else one) for one in kinds)
