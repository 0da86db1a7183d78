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

LONG_TABLE = 20  # rows from which on a table scrolls in its box and can be filtered
WIDE_TABLE = 6  # columns from which on a table takes the whole width

_POWER = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)e([+-]\d+)\b")
_INDEX = re.compile(r"λ_(max|min)\b")
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
        "prose": _prose,
        "words": lambda value: str(value).replace("_", " "),
        "anchor": _anchor,
        "flat": _flat,
    }
    made.globals["status_of"] = Status
    made.tests |= {
        "estimate": lambda value: isinstance(value, Estimate),
        "numeric": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
        "long": lambda table: len(table.rows) >= LONG_TABLE,
        "wide": lambda table: len(table.columns) >= WIDE_TABLE or table.title == SERIES,
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
    return shown[:1].upper() + shown[1:]


def _prose(sentence: str) -> Markup:
    """Return a sentence with powers of ten and indices set as such."""
    shown = str(escape(text.clean(str(sentence))))
    for status in _STATUSES:
        shown = shown.replace(status, status.replace("_", " "))
    shown = _POWER.sub(lambda found: text.power(found[1], int(found[2])), shown)
    return Markup(_INDEX.sub(r"λ<sub>\1</sub>", shown))


def _anchor(name: str) -> str:
    """Return an id for a section, whatever its name holds."""
    return "s-" + "".join(c if c.isascii() and c.isalnum() else "-" for c in name)[:60]


def _right_aligned(table: Table, column: int) -> bool:
    """Return whether a column of a table holds numbers only."""
    cells = [row[column] for row in table.rows if row[column] is not None]
    return bool(cells) and all(isinstance(cell, int | float | Estimate) for cell in cells)


def _flat(values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return provenance as rows; what has a place of its own is left out."""
    elsewhere = ("checkpoints", "notes", "command")
    rows: list[tuple[str, Any]] = []
    for key, value in values.items():
        if key in elsewhere:
            continue
        if isinstance(value, Mapping):
            rows += [(f"{key}: {inner}", one) for inner, one in value.items()]
        else:
            rows.append((key.replace("_", " "), value))
    return rows
