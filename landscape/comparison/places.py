"""Places in a document: `spectrum.eigenvalues.top[0]`, and what stands there."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from landscape.encode import decode
from landscape.errors import InputError, SettingError
from landscape.estimate import Estimate

EVERY = None  # [*]: all members of a list or mapping
Part = str | int | None
Place = tuple[Part, ...]

_TOKEN = re.compile(r"""\.?([^.\[\]"]+)|\[(-?\d+)\]|\[(\*)\]|\["([^"]*)"\]""")
_PLAIN = re.compile(r"[^.\[\]\"]+")
_ESTIMATE = {"value", "kind", "interval", "status"}
_MOST = 20_000  # places that are looked through for the nearest
_REPORT = "report"


@dataclass(frozen=True)
class Found:
    """What stands at a place of a document."""

    place: str
    value: Any


def parse(text: str) -> Place:
    """Return the parts of a place: names between dots, `[0]`, `[-1]`, `[*]`, `["a name"]`.

    A name in brackets takes the member of a mapping, or that of a list which is called so.

    Raises:
        SettingError: The text is none.
    """
    parts: list[Part] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or (match[1] and match[0].startswith(".") != bool(at)):
            raise SettingError(
                f"{text!r} names no place in a document",
                where=f"character {at + 1}",
                why='a place is made of names with dots between, [0], [*] and ["a name"]',
                hint="for example spectrum.eigenvalues.top[0]",
            )
        name, index, every, quoted = match.groups()
        parts.append(EVERY if every else int(index) if index else name or quoted)
        at = match.end()
    if not parts:
        raise SettingError(
            "a place is empty",
            where="rules",
            why="a place names a number of the document, level by level",
            hint="for example spectrum.trace",
        )
    return tuple(parts)


def told(place: Place) -> str:
    """Return a place as text that `parse` reads."""
    text = ""
    for part in place:
        if part is EVERY:
            text += "[*]"
        elif isinstance(part, int):
            text += f"[{part}]"
        elif part is not None and _PLAIN.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f'["{part}"]'
    return text


def matches(pattern: Place, place: Place) -> bool:
    """Return whether a place is one of those that a pattern with `[*]` names."""
    return len(pattern) == len(place) and all(
        one is EVERY or one == other for one, other in zip(pattern, place, strict=True)
    )


def estimate_at(value: Any) -> Estimate | None:
    """Return the number with its doubt that a JSON value is, or None."""
    if not isinstance(value, Mapping) or not value.keys() >= _ESTIMATE:
        return None
    return decode(Estimate, value)


def name_of(document: Mapping[str, Any]) -> str:
    """Return the name in a document's schema: `spectrum` of `landscape/spectrum/4`."""
    parts = str(document.get("schema")).split("/")
    return parts[1] if len(parts) > 2 else parts[-1]


def answer_of(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the answer of a document.

    Raises:
        InputError: It has none, as that of a failure.
    """
    answer = document.get("answer")
    if not isinstance(answer, Mapping):
        raise InputError(
            f"a document of schema {document.get('schema')!r} holds no answer",
            where="answer",
            why=str(document.get("what") or ""),
            hint="give a report.json, or what --json printed",
        )
    return cast("Mapping[str, Any]", answer)


def resolve(document: Mapping[str, Any], place: Place) -> list[Found]:
    """Return what stands at a place of a document, or at all of them where it has `[*]`.

    In a report the first name is a section's; in the document of one answer its own name may be
    left out. Of a series it is the last answer, unless the place begins with `series`.

    Raises:
        SettingError: There is no such place.
    """
    root, at, rest = _root(document, place)
    found = [Found(told(at), root)] if not rest else list(_walk(root, rest, at))
    if not found:
        raise _missing(document, place)
    return found


def _root(document: Mapping[str, Any], place: Place) -> tuple[Any, Place, Place]:
    """Return the answer that a place is in, where that is, and what is left of the place."""
    name, answer = name_of(document), answer_of(document)
    sections = (answer.get("sections") or {}) if name == _REPORT else {}
    if place[0] in sections:
        section = sections[place[0]]
        if len(place) == 1:
            return _whole(section), place, ()
        inner, beside, rest = _root(section, place[1:])
        return inner, (place[0], *beside), rest
    if place[0] == name and name not in answer:
        place = place[1:]
    if not place:
        return _whole(document), (name,), ()
    if isinstance(answer.get("series"), Sequence) and place[0] != "series" and answer["series"]:
        return answer["series"][-1], ("series", -1), place
    return answer, (), place


def _whole(document: Mapping[str, Any]) -> Mapping[str, Any]:
    answer = answer_of(document)
    if isinstance(answer.get("series"), Sequence) and answer["series"]:
        answer = answer["series"][-1]
    return {**answer, "status": document.get("status")}


def _walk(value: Any, place: Place, at: Place) -> Iterator[Found]:
    if not place:
        yield Found(told(at), value)
        return
    for key, member in _members(value, place[0]):
        yield from _walk(member, place[1:], (*at, key))


def _members(value: Any, part: Part) -> Iterator[tuple[Part, Any]]:
    if isinstance(value, Mapping):
        value = cast("Mapping[str, Any]", value)
        if part is EVERY:
            yield from value.items()
        elif isinstance(part, str) and part in value:
            yield part, value[part]
    elif isinstance(value, list):
        value = cast("list[Any]", value)
        if part is EVERY:
            yield from ((key, member) for key, member in named(value))
        elif isinstance(part, int) and -len(value) <= part < len(value):
            yield part, value[part]
        elif isinstance(part, str):
            yield from ((key, member) for key, member in named(value) if key == part)


def named(values: Sequence[Any]) -> list[tuple[Part, Any]]:
    """Return the members of a list under their own names where all have one, else numbered."""
    names = [one.get("name") if isinstance(one, Mapping) else None for one in values]
    own = all(isinstance(name, str) for name in names) and len(set(names)) == len(names)
    return [
        (name if own else i, one) for i, (name, one) in enumerate(zip(names, values, strict=True))
    ]


def _missing(document: Mapping[str, Any], place: Place) -> SettingError:
    asked = told(place)
    why = _why(document, place)
    places: list[str] = []
    for one in _places(document):
        places.append(one)
        if len(places) == _MOST:
            break
    near = difflib.get_close_matches(asked, places, n=1, cutoff=0.0)
    return SettingError(
        f"there is no {asked} in this document of {name_of(document)}",
        where=asked,
        why=why,
        hint=f"the nearest is {near[0]}" if near else "the document holds no number",
    )


def _why(document: Mapping[str, Any], place: Place) -> str:
    """Return why a section of a report is not there, where that is known."""
    answer = answer_of(document)
    for one in answer.get("skipped") or ():
        if one.get("section") == place[0]:
            return f"the section was skipped: {one.get('reason')}; {one.get('unlock')}"
    for one in answer.get("failures") or ():
        if one.get("section") == place[0]:
            return f"the section failed: {(one.get('error') or {}).get('what')}"
    return ""


def _places(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield the places of all numbers, words and verdicts, curves left out."""
    answer = answer_of(document)
    if name_of(document) == _REPORT:
        for name, section in (answer.get("sections") or {}).items():
            yield name
            yield from (told((name, *place)) for place, _ in leaves(last_of(section)))
    else:
        yield from (told(place) for place, _ in leaves(last_of(document)))


def last_of(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the answer of a document; of a series, the last."""
    answer = answer_of(document)
    series = answer.get("series")
    return series[-1] if isinstance(series, list) and series else answer


def leaves(value: Any, at: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Yield every estimate, number, word and flag below a JSON value; lists of numbers left out."""
    if estimate_at(value) is not None or not isinstance(value, Mapping | list):
        yield at, value
    elif isinstance(value, Mapping):
        for key, member in cast("Mapping[str, Any]", value).items():
            yield from leaves(member, (*at, key))
    elif not all(isinstance(one, int | float | list | None) for one in value):
        for key, member in named(cast("list[Any]", value)):
            yield from leaves(member, (*at, key))
