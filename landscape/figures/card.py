"""What a notebook shows of an answer: summary, picture and tables, on a card that stands alone."""

from __future__ import annotations

import html
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

from landscape.figures.canvas import svg
from landscape.figures.cell import told

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROWS = 100  # of a table, that a card shows
LONGEST = 60  # characters of a cell
_CARD = (
    "margin:0;padding:12px;max-width:760px;background:#fff;color:#24292f;border-radius:6px;"
    "font-family:system-ui,sans-serif"
)
_TABLE = "border-collapse:collapse;font-size:12px;margin:6px 0;color:#24292f;background:#fff"
_CELL = "padding:2px 8px;border-bottom:1px solid #d0d7de;white-space:nowrap;text-align:"


class Tabular(Protocol):
    """A table: its title, the names of its columns, and rows of cells."""

    @property
    def title(self) -> str:
        """Return what stands above it."""
        ...

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the names of the columns."""
        ...

    @property
    def rows(self) -> tuple[tuple[Any, ...], ...]:
        """Return the cells, row by row."""
        ...


def card(summary: str, figure: Figure, tables: Sequence[Tabular]) -> str:
    """Return HTML without scripts; names from files are text, whatever they hold.

    Args:
        summary: The answer in one or two lines.
        figure: Its picture.
        tables: Those of the answer; the first is open, the others open at a click.
    """
    drawing = svg(figure, name="notebook", title=clean(summary))
    shown = "".join(_table(table, opened=not place) for place, table in enumerate(tables))
    return (
        f'<figure style="{_CARD}"><figcaption style="margin-bottom:8px">{_text(summary)}'
        f"</figcaption>{drawing}{shown}</figure>"
    )


def _table(table: Tabular, *, opened: bool) -> str:
    sides = ["left" if _worded(table, place) else "right" for place in range(len(table.columns))]
    rows = [_row("th", table.columns, sides)]
    rows += [_row("td", map(_cell, row), sides) for row in islice(table.rows, ROWS)]
    more = len(table.rows) - ROWS
    left = f"<div>… and {more:,} rows more: see .tables()</div>" if more > 0 else ""
    return (
        f'<details{" open" if opened else ""}><summary style="cursor:pointer">'
        f'{_text(table.title)}</summary><div style="overflow-x:auto">'
        f'<table style="{_TABLE}">{"".join(rows)}</table></div>{left}</details>'
    )


def _row(tag: str, cells: Any, sides: Sequence[str]) -> str:
    drawn = [
        f'<{tag} style="{_CELL}{side}">{_text(cell)}</{tag}>'
        for cell, side in zip(cells, sides, strict=True)
    ]
    return f"<tr>{''.join(drawn)}</tr>"


def _worded(table: Tabular, place: int) -> bool:
    return any(isinstance(row[place], str) for row in table.rows)


def _cell(cell: Any) -> str:
    text = told(cell)
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}"


def _text(text: str) -> str:
    return html.escape(clean(text), quote=True)


def clean(text: str) -> str:
    """Return text without control characters and without marks that turn its direction."""
    return "".join(
        c if c.isprintable() or c in "\n\xa0" else "\N{REPLACEMENT CHARACTER}" for c in text
    )
