"""What will be asked of a subject, in which order, for which share of the budget."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from landscape.base import Diagnostic
from landscape.budget import Budget
from landscape.diagnostics import DIAGNOSTICS
from landscape.errors import LandscapeError, SettingError, not_differentiable
from landscape.reports.report import Skipped
from landscape.subject.subject import Subject
from landscape.work import Pace, Work, told_seconds

Preset = Literal["quick", "standard", "full"]
DATA, TRAIN = "--data", "--train"  # what unlocks sections
DRAWN = 0.6  # seconds that a figure takes, as PNG, as SVG and in the page, about
LONGEST = 3  # sections that are named
PLAIN = "plain"  # training without a function of the user's


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One section of a report, before it is asked.

    Args:
        question: With its settings.
        skipped: Why it is not asked, and what would unlock it; None where it is.
        refused: Why it will fail, where that is known before; None where it is not.
        expected: What it will cost, in words; empty where that is not known before.
        work: What it will take, about; None where that is not known before.
    """

    question: Diagnostic[Any]
    skipped: Skipped | None
    refused: LandscapeError | None = None
    expected: str = ""
    work: Work | None = None

    @property
    def name(self) -> str:
        """Return the name of the section."""
        return self.question.name

    @property
    def weight(self) -> float:
        """Return that of its share of the budget, beside the others that are asked."""
        return self.question.weight


@dataclass(frozen=True, kw_only=True)
class Foretold:
    """How long a report takes, about.

    Args:
        seconds: Of every section of which that is known.
        names: Of all sections that will be answered.
        figures: That are drawn at the end, at most; no budget holds for these.
    """

    seconds: Mapping[str, float]
    names: tuple[str, ...]
    figures: int

    @property
    def drawing(self) -> float:
        """Return the seconds that drawing takes."""
        return DRAWN * self.figures

    @property
    def unknown(self) -> tuple[str, ...]:
        """Return the sections of which the time is not known."""
        return tuple(name for name in self.names if name not in self.seconds)

    def sentence(self, budget: Budget | None = None) -> str:
        """Return the whole in one sentence: how long, what takes longest, what is not known."""
        figures = f"{self.figures} figure{'s' if self.figures != 1 else ''}"
        drawing = f"up to {figures}, about {told_seconds(self.drawing)}"
        if budget is not None:
            return f"the budget of {budget}; beyond it, drawing {drawing}"
        longest = sorted(self.seconds.items(), key=lambda one: -one[1])[:LONGEST]
        if not longest:
            return f"not known before; drawing {drawing}"
        whole = told_seconds(sum(self.seconds.values()) + self.drawing)
        named = ", ".join(f"{name} {told_seconds(seconds)}" for name, seconds in longest)
        without = f", without {', '.join(self.unknown)}: not known before" if self.unknown else ""
        return f"about {whole}{without}; the longest: {named}; drawing {drawing}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The sections of a report in their order.

    The budget is shared by weight. What a section leaves over goes to those after it; one for which
    its share is too small is skipped.
    """

    sections: tuple[Planned, ...]

    @property
    def asked(self) -> tuple[Planned, ...]:
        """Return the sections that are asked."""
        return tuple(one for one in self.sections if one.skipped is None)

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Return those that are not, with the reasons."""
        return tuple(one.skipped for one in self.sections if one.skipped is not None)

    def parts(self, one: Planned) -> float:
        """Return of how many parts of what is left of the budget a section has one."""
        place = self.asked.index(one)
        return sum(other.weight for other in self.asked[place:]) / one.weight

    def told(self, budget: Budget | None = None) -> Iterator[tuple[str, str, str]]:
        """Yield each section with its share of the budget and what it is expected to cost."""
        whole = sum(one.weight for one in self.asked)
        for one in self.sections:
            if one.skipped is not None:
                yield one.name, "-", f"skipped: {one.skipped.reason}; {one.skipped.unlock}"
                continue
            share = _share(one.weight / whole, budget)
            if one.refused is not None:
                yield one.name, share, f"fails: {one.refused.what}; {one.refused.hint}"
                continue
            unknown = "not known before" if one.work is None else ""
            yield one.name, share, one.expected or unknown

    def foretold(self, pace: Pace | None) -> Foretold:
        """Return how long the report takes at a pace; None: the pace is not known."""
        answered = [one for one in self.asked if one.refused is None]
        return Foretold(
            seconds={
                one.name: pace.seconds(one.work)
                for one in answered
                if pace is not None and one.work is not None
            },
            names=tuple(one.name for one in answered),
            figures=sum(1 + len(one.question.result.picture_names) for one in answered),
        )


def plan_of(
    subject: Subject,
    *,
    preset: Preset = "standard",
    seed: int = 0,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    train: str = "",
) -> Plan:
    """Return what a report of a subject asks.

    Args:
        subject: What is studied.
        preset: How much to spend.
        seed: Of every random draw.
        settings: Settings by diagnostic, in place of the preset's.
        train: Spec of the training function; `plain`: plain training by the settings of the
            section; empty: what trains networks is not asked.

    Raises:
        SettingError: There is no such preset, or a setting is out of its bounds.
    """
    if preset not in get_args(Preset):
        raise SettingError(
            f"there is no preset {preset!r}",
            where="report",
            why=f"presets are {', '.join(get_args(Preset))}",
            hint="the default is standard",
        )
    given = {name: dict(own) for name, own in (settings or {}).items()}
    made = list[Diagnostic[Any]]()
    for kind in DIAGNOSTICS:
        if not kind.surveyed:
            continue
        own = given.get(kind.name, {})
        if train not in ("", PLAIN) and "train" in kind.options():
            own = {"train": train, **own}
        made.append(kind.preset(preset, seed=seed, **own))
    return Plan(sections=tuple(_planned(one, subject, train) for one in made))


def _planned(question: Diagnostic[Any], subject: Subject, train: str) -> Planned:
    missing = question.needs.missing(subject)
    if not train and getattr(question, "train", None) == "":
        reason, unlock = missing or ("no training function was given", "")
        missing = reason, f"{unlock} and {TRAIN}" if unlock else TRAIN
    if missing is not None:
        skipped = Skipped(section=question.name, reason=missing[0], unlock=missing[1])
        return Planned(question=question, skipped=skipped)
    part = question.part(subject)
    fitted, refused = question.fitted(part), None
    try:
        fitted.check(part)
        work = fitted.work(part)
        if not question.needs.shape and work is not None and work.derivatives:
            refused = part.undifferentiable
    except LandscapeError as error:
        return Planned(question=question, skipped=None, refused=error)
    except Exception as error:  # the network's own code may fail in any way: the section says how
        work, refused = None, not_differentiable(error)
    expected = fitted.expected(part)
    return Planned(question=question, skipped=None, refused=refused, expected=expected, work=work)


def _share(share: float, budget: Budget | None) -> str:
    if budget is None:
        return "no limit"
    parts = []
    if budget.seconds is not None:
        parts.append(f"{share * budget.seconds:.3g} s")
    if budget.products is not None:
        parts.append(f"{int(share * budget.products):,} products")
    return " or ".join(parts)
