"""Tables for a terminal, as wide as it lets them be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from landscape.figures.cell import told

from .terminal import LONGEST, plain

if TYPE_CHECKING:
    from rich.table import Table

SENTENCE = 60  # characters of a line in the cell of a table; a name is shortened to as many


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str | None = None
) -> None:
    """Print a table; text from files is shown, never interpreted.

    It is as wide as it needs. In a narrower terminal, sentences go on in the next line sooner; then
    the columns stand in tables below one another, each with the first column.
    """
    from rich.console import Console

    console = Console(highlight=False)
    wide = _widths(columns, rows, SENTENCE)
    narrow = _widths(columns, rows, SENTENCE // 2)
    room = console.width if console.is_terminal else _width(wide)
    for part in _parts(narrow, room):
        width = min(_width([wide[i] for i in part]), max(room, _width([narrow[i] for i in part])))
        drawn = _drawn(
            [columns[i] for i in part], [[row[i] for i in part] for row in rows], title, SENTENCE
        )
        Console(highlight=False, width=max(width, 1)).print(drawn)
        title = None


def _widths(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], sentence: int
) -> list[int]:  # as many as columns
    """Return how wide every column is as a table of its own."""
    from rich.console import Console

    console = Console()
    room = console.options.update(max_width=10_000)
    return [
        console.measure(
            _drawn([name], [[row[i]] for row in rows], None, sentence), options=room
        ).maximum
        for i, name in enumerate(columns)
    ]


def _width(widths: Sequence[int]) -> int:
    """Return how wide tables of one column are side by side as one, of which each has 2 edges."""
    return sum(width - 1 for width in widths) + 1


def _parts(widths: Sequence[int], room: int) -> list[list[int]]:
    """Return the columns in parts that fit, each begun by the first column."""
    parts = [[0]] if widths else [[]]
    for i in range(1, len(widths)):
        if len(parts[-1]) > 1 and _width([widths[j] for j in (*parts[-1], i)]) > room:
            parts.append([0])
        parts[-1].append(i)
    return parts


def _drawn(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str | None, sentence: int
) -> Table:
    """Return a table in which the lines of sentences have at most so many characters."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    titled = Text(plain(title)) if title else None
    drawn = Table(title=titled, box=SIMPLE_HEAD, title_justify="left", title_style="bold")
    for i, name in enumerate(columns):
        text = any(isinstance(row[i], str) for row in rows)
        wraps = any(_is_sentence(row[i]) for row in rows)
        drawn.add_column(
            Text(plain(name)),
            justify="left" if text else "right",
            no_wrap=not wraps,
            overflow="fold",
            max_width=sentence if wraps else None,
        )
    for row in rows:
        drawn.add_row(*(Text(_cell(cell)) for cell in row))
    return drawn


def _is_sentence(cell: Any) -> bool:
    return isinstance(cell, str) and len(cell) > SENTENCE // 2 and " " in cell


def _cell(cell: Any) -> str:
    return plain(told(cell), longest=LONGEST if _is_sentence(cell) else SENTENCE)
