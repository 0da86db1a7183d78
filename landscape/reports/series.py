"""Answers for several checkpoints: their labels, their figure, and the numbers shown large."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from landscape.answer import Result, Table
from landscape.figures.canvas import overlay
from landscape.figures.picture import Picture, Pictured

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SERIES = "Over the checkpoints"


def labels(results: tuple[Result, ...]) -> tuple[str, ...]:
    """Return the names of the checkpoints; numbered where two are the same."""
    names = [one.label for one in results]
    return tuple(
        f"{name} ({number})" if names.count(name) > 1 else name
        for number, name in enumerate(names, start=1)
    )


def figure_of(result: Result, *, caption: bool = True) -> Figure:
    """Return the figure of an answer; of several checkpoints, the first and the last overlaid."""
    if len(result.series) < 2:
        return overlay([result], [None], caption=caption)
    names = labels(result.series)
    ends = [result.series[0], dataclasses.replace(result, series=())]
    return overlay(ends, [names[0], names[-1]], caption=caption)


def pictures_of(result: Result) -> tuple[Picture, ...]:
    """Return the figures that stand beside the main one of an answer."""
    return result.pictures() if isinstance(result, Pictured) else ()


def table_of_series(result: Result) -> Table | None:
    """Return one row of headline numbers per checkpoint; None when there is only one."""
    if len(result.series) < 2:
        return None
    rows = [dict(one.headline()) for one in result.series]
    columns = tuple(dict.fromkeys(name for row in rows for name in row))
    return Table(
        SERIES,
        ("checkpoint", *columns),
        tuple(
            (name, *(row.get(column) for column in columns))
            for name, row in zip(labels(result.series), rows, strict=True)
        ),
    )
