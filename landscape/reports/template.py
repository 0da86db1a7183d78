"""What the template knows: how numbers, sentences and tables are put on the page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader
from markupsafe import Markup, escape

from landscape.answer import Table
from landscape.estimate import Estimate, Status
from landscape.reports import text
from landscape.reports.series import SERIES

MANY_ROWS = 12  # from which on a table can be filtered
LONG_TABLE = 32  # rows from which on a table scrolls in its box
HALF_WIDTH = 64  # characters of a table from which on it takes the whole width
PADDING = 3  # characters between columns
WORDY = 30  # characters from which on a cell is a sentence, whose lines may break

_POWER = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)e([+-]\d+)\b")
_INDEX = re.compile(r"([λs])_(max|min)\b")
_BELOW = re.compile(r"_([A-Za-z0-9]+|\*)")
_ABOVE = re.compile(r"\^(\([^)]*\)|[½¼])")
_WORD = re.compile(r"^[a-z](?=[a-z]+\b(?![_./]))")  # begins a sentence; a symbol or a name does not
_FOLDERS = re.compile(r"(?<!\S)(?:[A-Za-z]:)?[/\\]\S*[/\\](?=[^\s/\\])")
_INITIALS = {"ntk": "NTK"}
_STATUSES = frozenset(status.value for status in Status)


@cache
def packaged(name: str) -> str:
    """Return a file of this package, with the line ends that its hash is taken over."""
    content = (files("landscape.reports") / name).read_text(encoding="utf-8")
    return content.replace("\r\n", "\n").strip("\n")


@cache
def environment() -> Environment:
    """Return the environment of the template: everything escaped, controls taken out."""
    made = Environment(
        loader=FunctionLoader(packaged),
        autoescape=True,
        finalize=_finalised,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "number": text.number,
        "value": text.value_of,
        "doubt": text.doubt_of,
        "in_words": text.doubt_in_words,
        "plain": text.plain_cell,
        "short": lambda value: text.shorten(text.clean(str(value))),
        "duration": text.duration,
        "heading": _heading,
        "formula": _formula,
        "indexed": lambda cell: _indexed(text.shorten(text.clean(cell))),
        "foldless": lambda value: _FOLDERS.sub("", str(value)),
        "prose": _prose,
        "opened": lambda sentence: _WORD.sub(lambda first: first[0].upper(), str(sentence), 1),
        "words": lambda value: str(value).replace("_", " "),
        "anchor": _anchor,
        "flat": _flat,
    }
    made.globals["status_of"] = Status
    made.tests |= {
        "estimate": lambda value: isinstance(value, Estimate),
        "numeric": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
        "many": lambda table: len(table.rows) >= MANY_ROWS,
        "long": lambda table: len(table.rows) >= LONG_TABLE,
        "wide": lambda table: table.title == SERIES or _width(table) > HALF_WIDTH,
        "wordy": lambda cell: isinstance(cell, str) and len(cell) >= WORDY,
        "right": _right_aligned,
        "status": lambda value: value in _STATUSES,
    }
    return made


def _finalised(value: Any) -> Any:
    """Return what a template puts out without control characters; markup of our own as it is."""
    return text.clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _heading(name: str) -> str:
    """Return the name of a section as a heading."""
    shown = text.shorten(text.clean(name))
    return _INITIALS.get(shown, shown[:1].upper() + shown[1:])


def _prose(sentence: str) -> Markup:
    """Return a sentence with powers of ten and indices set as such."""
    shown = str(escape(text.clean(str(sentence))))
    for status in _STATUSES:
        shown = shown.replace(status, status.replace("_", " "))
    shown = _POWER.sub(lambda found: text.power(found[1], int(found[2])), shown)
    return _with_indices(shown)


def _indexed(words: str) -> Markup:
    """Return text with indices set as such, and nothing else changed: it may be a name."""
    return _with_indices(str(escape(words)))


def _with_indices(escaped: str) -> Markup:
    return Markup(_INDEX.sub(r"\1<sub>\2</sub>", escaped))


def _formula(plain: str) -> Markup:
    """Return a formula of the glossary with what follows _ or ^ below or above the line."""
    below = _BELOW.sub(r"<sub>\1</sub>", str(escape(plain)))
    return Markup(_ABOVE.sub(lambda found: f"<sup>{found[1].strip('()')}</sup>", below))


def _anchor(name: str) -> str:
    """Return an id for a section, whatever its name holds."""
    return "s-" + "".join(c if c.isascii() and c.isalnum() else "-" for c in name)[:60]


def _right_aligned(table: Table, column: int) -> bool:
    """Return whether a column of a table holds numbers only."""
    cells = [row[column] for row in table.rows if row[column] is not None]
    return bool(cells) and all(isinstance(cell, int | float | Estimate) for cell in cells)


def _width(table: Table) -> int:
    """Return about how many characters a table is wide where no line breaks but in sentences."""
    columns = zip(table.columns, *table.rows, strict=True)
    return sum(
        max(_two_lines(head), *(min(len(_shown(cell)), WORDY) for cell in cells), 0) + PADDING
        for head, *cells in columns
    )


def _two_lines(head: str) -> int:
    """Return how wide a heading is that is set in two lines."""
    return max(len(head) // 2, *map(len, head.split()), 0)


def _shown(cell: Any) -> str:
    return cell if isinstance(cell, str) else text.plain_cell(cell)


def _flat(values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return provenance as rows; what has a place of its own is left out."""
    elsewhere = ("checkpoints", "notes", "command")
    return [
        row for key, value in values.items() if key not in elsewhere for row in _row(key, value)
    ]


def _row(key: str, value: Any) -> list[tuple[str, Any]]:
    """Return a value under its name; of a mapping, its values under theirs."""
    if isinstance(value, Mapping):
        inner = [row for name, one in value.items() for row in _row(str(name), one)]
        return [(f"{key}: {name}".replace("_", " "), one) for name, one in inner]
    return [(key.replace("_", " "), value)]
