"""The numbers that two answers share, each with what the difference says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from landscape.comparison.places import Place, estimate_at, leaves, matches, parse, told
from landscape.difference import Direction, Word, difference, doubts, verdict
from landscape.estimate import Estimate

WORDS = ("verdict",)  # fields whose words are compared; other words are names


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """One number in both documents.

    Args:
        path: Its place.
        a: In the one.
        b: In the other.
        difference: b − a.
        better: Which way is better: lower or higher; None: neither.
        verdict: On b beside a.
        reason: Why it is undecided; else empty.
        listed: Whether it is of a member of a list, such as a layer.
    """

    path: str
    a: Estimate
    b: Estimate
    difference: Estimate
    better: Direction | None
    verdict: Word
    reason: str
    listed: bool


@dataclass(frozen=True, kw_only=True)
class Changed:
    """A count, flag or verdict that is not the same in both; a number that one of them lacks."""

    path: str
    a: Any
    b: Any


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What two answers have in common, and what only one of them has.

    Args:
        numbers: Those of both.
        changed: What else is not the same.
        only_a: Places of numbers and verdicts that the other does not have.
        only_b: The same.
        undecided: Places of numbers with a better side that one of the two lacks, that are not
            finite, or that did not converge.
    """

    numbers: tuple[Contrast, ...]
    changed: tuple[Changed, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    undecided: tuple[str, ...]


def shared(
    a: Mapping[str, Any],
    b: Mapping[str, Any],
    directions: Mapping[str, Direction],
    *,
    rounding: float,
    at: Place = (),
) -> Shared:
    """Return the numbers of two answers side by side.

    Members of lists are matched by their names where they have some, else by their order. Curves
    and other lists of bare numbers are left out.

    Args:
        a: The JSON of the one answer.
        b: That of the other.
        directions: Which way is better, by place.
        rounding: Relative error that computing a number may make.
        at: The place of both.
    """
    known: list[tuple[Place, Direction]] = [(parse(one), way) for one, way in directions.items()]
    left, right = (dict(leaves(one)) for one in (a, b))
    numbers, changed = [], []
    for place in left.keys() & right.keys():
        pair = left[place], right[place]
        estimates = estimate_at(pair[0]), estimate_at(pair[1])
        if estimates[0] is not None and estimates[1] is not None:
            way, one, other = _way(known, place), estimates[0], estimates[1]
            listed = isinstance(a.get(str(place[0])), list)
            whole = (*at, *place)
            numbers.append(_contrast(whole, one, other, way, rounding=rounding, listed=listed))
        elif _plain(place, *pair) and pair[0] != pair[1]:
            changed.append(Changed(path=told((*at, *place)), a=_bare(pair[0]), b=_bare(pair[1])))
    order = {told((*at, *place)): number for number, place in enumerate(left)}
    return Shared(
        numbers=tuple(sorted(numbers, key=lambda one: order[one.path])),
        changed=tuple(sorted(changed, key=lambda one: order[one.path])),
        only_a=tuple(_only(left, right, at)),
        only_b=tuple(_only(right, left, at)),
        undecided=tuple(told((*at, *place)) for place in _undecided(left, right, known)),
    )


def _undecided(
    left: Mapping[Place, Any],
    right: Mapping[Place, Any],
    known: Sequence[tuple[Place, Direction]],
) -> Iterator[Place]:
    """Yield the places with a better side at which it is not known whether B is worse."""
    for place in {**left, **right}:
        if _way(known, place) is not None:
            pair = [estimate_at(one.get(place)) for one in (left, right)]
            there = [one for one in pair if one is not None]
            if len(there) == 1 or (there and verdict(difference(*there), None) == "undecided"):
                yield place


def _way(known: Sequence[tuple[Place, Direction]], place: Place) -> Direction | None:
    """Return which way is better at a place; None: neither."""
    for pattern, way in known:
        if matches(pattern, place):
            return way
    return None


def _contrast(
    place: Place,
    a: Estimate,
    b: Estimate,
    way: Direction | None,
    *,
    rounding: float,
    listed: bool,
) -> Contrast:
    apart = difference(a, b, rounding=rounding)
    word = verdict(apart, way)
    return Contrast(
        path=told(place),
        a=a,
        b=b,
        difference=apart,
        better=way,
        verdict=word,
        reason=doubts(a, b, ("A", "B")) if word == "undecided" else "",
        listed=listed,
    )


def _plain(place: Place, *values: Any) -> bool:
    """Return whether values are counts, flags, verdicts, or numbers that one of the two lacks."""
    if place and place[-1] in WORDS:
        return True
    return all(
        value is None or isinstance(value, int) or estimate_at(value) is not None
        for value in values
    )


def _bare(value: Any) -> Any:
    estimate = estimate_at(value)
    return value if estimate is None else estimate.value


def _only(one: Mapping[Place, Any], other: Mapping[Place, Any], at: Place) -> Iterator[str]:
    for place, value in one.items():
        if place not in other and (estimate_at(value) is not None or place[-1:] == WORDS):
            yield told((*at, *place))
