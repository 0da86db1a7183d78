"""Rules for the numbers of a document, as a TOML file gives them."""

from __future__ import annotations

import difflib
import hashlib
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from landscape.comparison.places import Place, parse
from landscape.errors import InputError, SettingError
from landscape.estimate import Status

KEYS = ("min", "max", "equals", "status", "verdict")
EXAMPLE = '"spectrum.eigenvalues.top[0]" = {max = 50}'


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One condition on what stands at a place.

    Args:
        path: The place, as it was written.
        place: The same, in parts.
        key: min and max: bounds on a number; equals: a number, word or flag; status: that of a
            number or of an answer; verdict: that of an answer or of one of its parts.
        wanted: What is asked for.
    """

    path: str
    place: Place
    key: str
    wanted: float | str | bool

    @property
    def told(self) -> str:
        """Return the condition as it was written."""
        wanted = self.wanted
        if isinstance(wanted, bool):
            return f"{self.key} = {str(wanted).lower()}"
        return (
            f"{self.key} = {wanted:g}"
            if not isinstance(wanted, str)
            else (f"{self.key} = {wanted!r}")
        )


def read_rules(path: Path) -> tuple[tuple[Rule, ...], str]:
    """Return the rules in a TOML file, and the SHA-256 of its bytes.

    Raises:
        InputError: The file cannot be read.
        SettingError: It is not TOML, holds no rule, or one that is none.
    """
    try:
        data = path.read_bytes()
        text = data.decode()
    except (OSError, UnicodeDecodeError) as error:
        told = isinstance(error, OSError) and (error.strerror or str(error))
        raise InputError(
            f"{path} cannot be read",
            where=str(path),
            why=told or "it is not UTF-8",
            hint="check the path",
        ) from error
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SettingError(
            f"{path} is not TOML: {error}",
            where=str(path),
            why="rules are written in TOML, one table or line to a number",
            hint=f"a rule is {EXAMPLE}",
        ) from error
    return rules_of(document, where=str(path)), hashlib.sha256(data).hexdigest()


def rules_of(document: Mapping[str, Any], *, where: str = "rules") -> tuple[Rule, ...]:
    """Return the rules in a mapping from places to conditions.

    Args:
        document: `{"spectrum.trace": {"max": 3}}`.
        where: What errors name.

    Raises:
        SettingError: It holds no rule, or one that is none.
    """
    if not document:
        raise SettingError(
            f"{where} holds no rule",
            where=where,
            why="without a rule everything would pass",
            hint=f"a rule is {EXAMPLE}",
        )
    return tuple(
        _rule(path, key, wanted, where)
        for path, conditions in document.items()
        for key, wanted in _conditions(path, conditions, where).items()
    )


def _conditions(path: str, conditions: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(conditions, Mapping) or not conditions:
        raise SettingError(
            f"the rule for {path} has no conditions: {conditions!r}",
            where=where,
            why=f"conditions are {', '.join(KEYS)}",
            hint=f"a rule is {EXAMPLE}",
        )
    for key, value in conditions.items():
        if key not in KEYS:
            nested = isinstance(value, Mapping)
            near = difflib.get_close_matches(key, KEYS, n=1, cutoff=0.0)[0]
            raise SettingError(
                f"{key!r} is no condition of a rule for {path}",
                where=where,
                why=f"conditions are {', '.join(KEYS)}",
                hint=f"put the whole place in quotes: {EXAMPLE}"
                if nested
                else f"the nearest is {near}",
            )
    return conditions


def _rule(path: str, key: str, wanted: Any, where: str) -> Rule:
    number = isinstance(wanted, int | float) and not isinstance(wanted, bool)
    number = number and abs(wanted) <= sys.float_info.max  # NaN and infinity are none
    fits = {
        "min": number,
        "max": number,
        "equals": isinstance(wanted, str | bool) or number,
        "status": isinstance(wanted, str) and wanted in {status.value for status in Status},
        "verdict": isinstance(wanted, str),
    }[key]
    if not fits:
        expected = {
            "status": f"one of {', '.join(status.value for status in Status)}",
            "equals": "a number, a string, true or false",
            "verdict": "a string",
        }.get(key, "a finite number")
        raise SettingError(
            f"{key} of {path} must be {expected}, got {wanted!r}",
            where=where,
            why="nothing can be held against another value",
            hint=f"a rule is {EXAMPLE}",
        )
    return Rule(path=path, place=parse(path), key=key, wanted=float(wanted) if number else wanted)
