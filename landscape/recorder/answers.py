"""What scheduled diagnostics answered in a run, and what was put off."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from landscape.answer import Table
from landscape.estimate import Estimate, Status
from landscape.recorder.history import History
from landscape.recorder.log import Record
from landscape.recorder.verdict import Verdict, counted

SHOWN = 20  # answers of a table


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """One number of an answer, named."""

    name: str
    estimate: Estimate


@dataclass(frozen=True, kw_only=True)
class AnswerTrack:
    """What a scheduled diagnostic answered.

    Args:
        step: After which it was asked.
        question: Its name; with its settings where several of that name were asked.
        headline: The numbers that a reader looks for first.
        status: How it ended; failed when it did not.
        error: Why it failed; empty when it did not.
        seconds: That it took; None where that is not known.
    """

    step: int
    question: str
    headline: tuple[Quantity, ...]
    status: str
    error: str
    seconds: float | None


def answers_of(history: History) -> tuple[AnswerTrack, ...]:
    """Return the answers of a run, in order."""
    names = _names(history)
    return tuple(
        AnswerTrack(
            step=record["step"],
            question=name,
            headline=tuple(_quantity(one) for one in record.get("headline", ())),
            status=str(record["document"]["status"]) if "document" in record else "failed",
            error=_error(record),
            seconds=record.get("seconds"),
        )
        for record, name in zip(history.answers, names, strict=True)
    )


def answers_table(answers: tuple[AnswerTrack, ...]) -> Table:
    """Return one row per answer, with the first of its numbers."""
    some = f", last {SHOWN} of {len(answers):,}" if len(answers) > SHOWN else ""
    columns = ("step", "diagnostic", "quantity", "value", "low", "high", "status", "seconds")
    return Table(f"Scheduled diagnostics{some}", columns, tuple(map(_row, answers[-SHOWN:])))


def series_of(answers: tuple[AnswerTrack, ...]) -> dict[str, np.ndarray]:
    """Return step, value, low and high (4, k) of the first number of every diagnostic, named."""
    found: dict[str, list[tuple[float, ...]]] = {}
    for one in answers:
        for quantity in one.headline[:1]:
            number = quantity.estimate
            row = (float(one.step), number.value, *number.interval)
            found.setdefault(f"{quantity.name}\n{one.question}", []).append(row)
    return {name: np.array(rows).T for name, rows in found.items()}


def waiting(history: History) -> list[Verdict]:
    """Return which diagnostics the last run put off, why, and when their share pays for them."""
    first = history.runs[-1].first_step
    found = []
    groups: dict[str, list[Record]] = {}
    for record in history.postponed:
        if record["step"] < first:
            continue
        groups.setdefault(str(record.get("question", record["name"])), []).append(record)
    for question, records in groups.items():
        last = records[-1]
        asked = sum(
            one["step"] >= first and one.get("question", one["name"]) == question
            for one in history.answers
        )
        steps = ", ".join(str(one["step"]) for one in records[:5])
        more = f" and {len(records) - 5:,} more" if len(records) > 5 else ""
        found.append(
            Verdict(
                kind="put off",
                severity="notable",
                sentence=f"{last['name']} was put off at {len(records):,} of "
                f"{counted(len(records) + asked, 'date')}: it takes {last['cost']:.3g} s, and its "
                f"share, {last['share']:.3g} of the time, pays for that every "
                f"{last['cost'] / last['share']:.3g} s.",
                evidence=f"At step{'s' * (len(records) > 1)} {steps}{more}. At step "
                f"{last['step']} the run had taken {last['at']:.3g} s; the next answer is paid "
                f"from {last['from']:.3g} s on, at the next date.",
                advice="Ask it less often, raise share=, or give it a smaller probe.",
                step=records[0]["step"],
            )
        )
    return found


def _names(history: History) -> list[str]:
    asked: dict[str, set[str]] = {}
    for one in history.answers:
        asked.setdefault(one["name"], set()).add(str(one.get("question", "")))
    return [
        one["name"] if len(asked[one["name"]]) == 1 else str(one.get("question", one["name"]))
        for one in history.answers
    ]


def _quantity(given: dict[str, Any]) -> Quantity:
    low, high = given["interval"]
    value = given["value"]
    return Quantity(
        name=given["name"],
        estimate=Estimate(
            value=math.nan if value is None else value,
            kind=given["kind"],
            interval=(-math.inf if low is None else low, math.inf if high is None else high),
            level=given.get("level") or 0.95,
            status=Status(given["status"]),
            method=str(given.get("method", "")),
            reason=given.get("reason"),
        ),
    )


def _error(record: Record) -> str:
    error = record.get("error")
    return str(error.get("what")) if isinstance(error, dict) else ""


def _row(answer: AnswerTrack) -> tuple[Any, ...]:
    told = f"{answer.status}: {answer.error}" if answer.error else answer.status
    if not answer.headline:
        return (answer.step, answer.question, "", None, None, None, told, answer.seconds)
    first = answer.headline[0]
    one = first.estimate
    return (
        answer.step,
        answer.question,
        first.name,
        one.value,
        *one.interval,
        told,
        answer.seconds,
    )
